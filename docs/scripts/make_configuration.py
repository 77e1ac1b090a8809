"""Generate docs/configuration.md from the models: `python docs/scripts/make_configuration.py`."""

from __future__ import annotations

from typing import Any

from generated import DOCS, inserted, table
from pydantic import BaseModel

from ganforge.cli.describe import option_type as type_words
from ganforge.components.spec import FLAGS, KINDS
from ganforge.config import SECTIONS, Experiment
from ganforge.config.references import SEVERAL
from ganforge.plugins.registry import Registry
from ganforge.utils.format import format_value

PAGE = DOCS / "configuration.md"
NAME = "make_configuration.py"
#: Singular of kinds whose names are plurals, and plural of irregular ones.
SINGULAR = {"features": "feature extractor"}
PLURAL = {"loss": "losses"}
OPTION_COLUMNS = ("option", "type", "default", "meaning")


def render() -> str:
    """Return the page's generated part."""
    return "\n\n".join(
        [
            "## Components",
            table(("setting", "names", "default"), _sections()),
            "## Training",
            table(("setting", "type", "default", "meaning"), _settings()),
            "## Options of the built-in components",
            "`ganforge describe NAME` lists those of any other component.",
            *_components(),
        ]
    )


def _sections() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for section, kind in SECTIONS.items():
        default = Experiment.model_fields[section].default
        names = [item.name for item in default] if section in SEVERAL else [default.name]
        singular = SINGULAR.get(kind, kind)
        count = f"any number of {PLURAL.get(kind, f'{singular}s')}" if section in SEVERAL else f"one {singular}"
        rows.append((f"`{section}`", count, ", ".join(f"`{name}`" for name in names) or "none"))
    rows.append(("`optimizer.PHASE`", "one optimizer for each phase", "`adam`"))
    rows.append(("`schedules.OPTION`", "one schedule for any real-valued option of an optimizer or a term", "none"))
    return rows


def _settings() -> list[tuple[str, ...]]:
    rows = _rows(Experiment)
    return [row for row in rows if row[0].strip("`") not in {*SECTIONS, "optimizer", "schedules"}]


def _components() -> list[str]:
    registry = Registry.discover(no_plugins=True)
    flags = {kind: flag for flag, kind in FLAGS.items()}
    parts = []
    for kind in KINDS:
        for entry in registry.of_kind(kind):
            rows = _rows(registry.load(entry).Options, f"{flags[kind]}.")
            name = entry.component.name
            parts += [f"### {kind} `{name}`", entry.component.summary]
            parts += [table(OPTION_COLUMNS, rows)] if rows else ["It has no options."]
    return parts


def _rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, ...]]:
    schema: dict[str, Any] = model.model_json_schema()
    required = schema.get("required", [])
    rows: list[tuple[str, ...]] = []
    for name, field in schema.get("properties", {}).items():
        if "anyOf" in field or "type" in field or "enum" in field or "const" in field:
            default = field.get("default")
            shown = "required" if name in required else "none" if default is None else f"`{format_value(default)}`"
            rows.append((f"`{prefix}{name}`", _type(field), shown, " ".join(field.get("description", "").split())))
    return rows


def _type(field: dict[str, Any]) -> str:
    return type_words(field).replace("string", "text").replace("9.22337e+18", "2^63")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE, NAME, render()), encoding="utf-8")
    print(f"{PAGE} is current")
