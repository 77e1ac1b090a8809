"""Model card: README.md with metadata for the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ganforge.evaluation.comparability import diff, higher_is_better
from ganforge.export.generator import ExportedGenerator
from ganforge.plugins.sources import OWN_DISTRIBUTION
from ganforge.runs.bundle import needed_plugins
from ganforge.schemas.rows import EvaluationRow
from ganforge.utils.format import format_number
from ganforge.utils.text import printable_json, shell_command

#: Characters of text from outside, such as names of classes.
MAX_TEXT_LENGTH = 200
#: Characters that Markdown, tables and HTML give a meaning.
SPECIAL = re.compile(r"[\\`*_\[\]<>|#~$&{}]")


def write_card(exported: ExportedGenerator, name: str, *, license_id: str | None = None) -> str:
    """Return the text of a model card, made of settings and scores, for `OWNER/NAME` or the name of a folder."""
    environment = Environment(
        loader=PackageLoader("ganforge.export", ""),
        autoescape=False,  # noqa: S701 - Markdown; `cell` escapes text from outside
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"json": printable_json, "cell": escape_markdown, "quoted": shell_command}
    run, manifest, experiment = exported.run, exported.run.manifest, exported.run.experiment
    rows = [row for row in run.evaluations if row.step == exported.checkpoint.step]
    rows = [row for row in rows if row.protocol.weights == exported.weights]
    rows = [row for index, row in enumerate(rows) if not any(_repeats(row, later) for later in rows[index + 1 :])]
    facts = exported.facts()
    plugins = needed_plugins(run)
    installed = [plugin.distribution for plugin in plugins if plugin.path is None]
    extras = [f"'{OWN_DISTRIBUTION}[hub]'", *(other for other in installed if other != OWN_DISTRIBUTION)]
    condition: Mapping[str, Any] = facts["condition"] or {"names": []}
    return environment.get_template("card.md.j2").render(
        front_matter=_front_matter(exported, rows, name, license_id),
        title=name.rpartition("/")[2],
        facts=facts,
        data=manifest.data.name or experiment.data.name,
        images_seen=exported.checkpoint.state["images_seen"],
        requirements=extras,
        source=f"hub:{name}" if "/" in name else PurePath(name),
        classes=condition["names"],
        local=[plugin for plugin in plugins if plugin.path is not None],
        rows=[{"scores": _scores(row), "protocol": _protocol(row)} for row in rows],
        settings={
            **{section: text for section, text in manifest.components.items() if section not in {"features", "metric"}},
            "batch size": str(experiment.batch_size),
            "seed": str(experiment.seed),
            "precision": manifest.precision,
            "versions": ", ".join(f"{key} {manifest.versions.get(key, '')}" for key in ("ganforge", "torch", "python")),
        },
    )


def escape_markdown(text: str) -> str:
    """Return text from outside for a line of Markdown: short, and without meaning for Markdown or HTML."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:MAX_TEXT_LENGTH]).split())
    return SPECIAL.sub(lambda match: f"\\{match[0]}", line)


def _front_matter(
    exported: ExportedGenerator, rows: list[EvaluationRow], name: str, license_id: str | None
) -> dict[str, Any]:
    """Return the card's metadata, whose values JSON writes as YAML reads them."""
    data = exported.run.manifest.data.name or exported.run.experiment.data.name
    results = [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"name": data, "type": data, "split": row.protocol.split},
            "metrics": [
                {"type": score, "name": score, "value": value}
                for score, value in row.scores.items()
                if value is not None
            ],
        }
        for row in rows
    ]
    index = {"model-index": [{"name": name.rpartition("/")[2], "results": results}]} if results else {}
    return {
        "library_name": "ganforge",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["gan", "ganforge", exported.run.experiment.gen.name],
        **({} if license_id is None else {"license": license_id}),
        **index,
    }


def _repeats(row: EvaluationRow, later: EvaluationRow) -> bool:
    """Return whether a later row has all scores of a row, from the same protocol."""
    same = _protocol(row) == _protocol(later)
    return same and all(
        (name, score) in later.scores.items() and not diff(row.protocol, later.protocol, name)
        for name, score in row.scores.items()
    )


def _scores(row: EvaluationRow) -> list[dict[str, str]]:
    """Return the scores of a row for a table."""
    return [
        {
            "name": name,
            "value": format_number(value),
            "reference": "" if row.reference.get(name) is None else format_number(row.reference[name]),
            "better": {True: "higher", False: "lower", None: ""}[higher_is_better(row.protocol, name)],
        }
        for name, value in row.scores.items()
    ]


def _protocol(row: EvaluationRow) -> str:
    """Return everything that the scores depend on, in one sentence."""
    protocol, features = row.protocol, row.protocol.features
    data = f"the {protocol.split} split of {protocol.data} (fingerprint {protocol.fingerprint[:12]})"
    parts = [
        f"{protocol.fake_images:,} fakes and {protocol.real_images:,} real images of {data}",
        "" if features is None else f"features {features.name} ({features.distribution})",
        f"sampling {json.dumps(protocol.sampling)}" if protocol.sampling else "",
        f"seed {protocol.seed}",
        ", ".join(f"{name} {version}" for name, version in protocol.versions.items()),
    ]
    return escape_markdown("; ".join(filter(None, parts)))
