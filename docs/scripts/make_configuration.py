"""Write docs/configuration.md from the models themselves: `python docs/scripts/make_configuration.py`."""

from __future__ import annotations

from typing import Any

from generated import DOCS, inserted, table
from pydantic import BaseModel

from ganforge.cli.components import option_type as type_words
from ganforge.cli.output import describe_value
from ganforge.config import OPTIMIZERS, SECTIONS, Experiment
from ganforge.config.experiment import SEVERAL
from ganforge.plugins.registry import Registry

PAGE = DOCS / "configuration.md"
NAME = "make_configuration.py"
#: What one is called, where the kind's name is no singular.
SINGULAR = {"features": "feature extractor"}
OPTION_COLUMNS = ("option", "type", "default", "what it means")


def render() -> str:
    """Return the page's generated part."""
    return "\n\n".join(
        [
            "## Components",
            table(("setting", "names", "default"), _sections()),
            "## Training",
            table(("setting", "type", "default", "what it means"), _settings()),
            "## Optimisers",
            "`optimizer.gen` and `optimizer.disc` are one table each; what stands directly in `optimizer` means both.",
            *_optimizers(),
            "## Options of the components that come with ganforge",
            "Those of any other component: `ganforge describe NAME`.",
            *_components(),
        ]
    )


def _sections() -> list[tuple[str, ...]]:
    rows = []
    for section, kind in SECTIONS.items():
        default = Experiment.model_fields[section].default
        names = [item.name for item in default] if section in SEVERAL else [default.name]
        how_many = f"any number of {_plural(kind)}" if section in SEVERAL else f"one {SINGULAR.get(kind, kind)}"
        rows.append((f"`{section}`", how_many, ", ".join(f"`{name}`" for name in names) or "none"))
    return rows


def _plural(kind: str) -> str:
    return f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"


def _settings() -> list[tuple[str, ...]]:
    rows = _rows(Experiment)
    return [row for row in rows if row[0].strip("`") not in {*SECTIONS, "optimizer"}]


def _optimizers() -> list[str]:
    parts = []
    for name, model in OPTIMIZERS.items():
        rows = [row[:3] for row in _rows(model) if row[0] != "`name`"]
        parts += [f"### `{name}`", str(model.__doc__), table(OPTION_COLUMNS[:3], rows)]
    return parts


def _components() -> list[str]:
    registry = Registry.discover(no_plugins=True)
    parts = []
    for section, kind in SECTIONS.items():
        for entry in registry.of_kind(kind):
            rows = _rows(registry.load(entry).Options, f"{section}.")
            name = entry.component.name
            parts += [f"### {kind} `{name}`", entry.component.summary]
            parts += [table(OPTION_COLUMNS, rows)] if rows else ["It has no options."]
    return parts


def _rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, ...]]:
    schema: dict[str, Any] = model.model_json_schema()
    required = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        if "anyOf" in field or "type" in field or "enum" in field or "const" in field:
            default = field.get("default")
            shown = "required" if name in required else "none" if default is None else f"`{describe_value(default)}`"
            rows.append((f"`{prefix}{name}`", _type(field), shown, " ".join(field.get("description", "").split())))
    return rows


def _type(field: dict[str, Any]) -> str:
    return type_words(field).replace("string", "text").replace("9.22337e+18", "2^63")


if __name__ == "__main__":
    PAGE.write_text(inserted(PAGE, NAME, render()), encoding="utf-8")
    print(f"{PAGE} is current")
