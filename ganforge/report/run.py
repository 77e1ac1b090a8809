"""Content of the page of a run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from ganforge.components.spec import SECTIONS
from ganforge.report.curves import training_charts
from ganforge.report.pages.pictures import Picture, PictureError, embed, embed_series
from ganforge.report.record import Record
from ganforge.report.scores import Facts, Score, class_shares, protocol_facts, scores_of
from ganforge.runs.settings import settings_of
from ganforge.schemas.manifest import Manifest
from ganforge.utils.chart import SMOOTHING
from ganforge.utils.format import format_bytes, format_duration, format_number, format_value
from ganforge.utils.text import shell_command

#: Openings of the sentence about a run that has not finished.
OPENINGS = {
    "interrupted": "Interrupted after",
    "diverged": "Diverged after",
    "failed": "Failed after",
    "running": "Still running when this page was written; so far",
}
#: Characters of data URIs in a page of 5 MB.
MAX_SAMPLE_CHARACTERS, MAX_PICTURE_CHARACTERS = 2_200_000, 800_000
MAX_SAMPLES, MAX_PICTURES = 60, 12
PICTURE = re.compile(r"(.+)-(\d{8,18})\.png")
DEFAULT = "default"


class Setting(NamedTuple):
    """Setting of a run: dotted key, value as the command line takes it, layer of the configuration that set it."""

    key: str
    value: str
    origin: str


def run_page(record: Record) -> dict[str, object]:
    """Return the content of run.html.j2, and add problems to `record.missing`."""
    manifest = record.manifest
    samples, note = _samples(record)
    scores = scores_of(record.evaluations)
    settings = _settings(record)
    components = {} if manifest is None else manifest.components
    return {
        "name": record.run.name,
        "parts": " · ".join(components[key] for key in ("gen", "disc", "loss", "data") if components.get(key)),
        "status": record.status,
        "sentence": _sentence(record, scores),
        "error": None if manifest is None else manifest.error,
        "missing": record.missing,
        "figures": _figures(manifest, scores),
        "samples": samples,
        "samples_note": note,
        "charts": training_charts(record.curves),
        "smoothing": SMOOTHING,
        "scores": scores,
        "score_charts": [score.chart() for score in scores if len(score.values) > 1],
        "classes": class_shares(record.evaluations),
        "protocols": _protocols(scores),
        "pictures": _pictures(record),
        "alerts": [] if manifest is None else manifest.health,
        "chosen": [setting for setting in settings if setting.origin != DEFAULT],
        "defaults": [setting for setting in settings if setting.origin == DEFAULT],
        "commands": _commands(record),
        "config": record.config,
        "manifest": manifest,
        "machine": [] if manifest is None else _machine(manifest),
    }


def _sentence(record: Record, scores: list[Score]) -> str:
    """Return the outcome of the run in one sentence."""
    summary = None if record.manifest is None else record.manifest.summary
    opening = OPENINGS.get(record.status, "Trained for")
    if summary is None:
        last = max(filter(math.isfinite, record.curves.get("step", ())), default=None)
        length = f"at least {last:,.0f} steps" if last is not None else "an unknown number of steps"
        parts = [f"{opening} {length}"]
    else:
        images = f"({format_number(summary.images_seen)} images)"
        parts = [f"{opening} {summary.steps:,} steps", images, f"in {format_duration(summary.elapsed_seconds)}"]
    if record.manifest is not None:
        parts.append(f"on {record.manifest.device}")
    scored = next((score for score in scores if score.last.value is not None), None)
    if scored is None:
        return " ".join(parts) + "."
    reference = "" if scored.reference is None else f" (reference {format_number(scored.reference)})"
    return f"{' '.join(parts)}; {scored.column.name} {format_number(scored.last.value)}{reference}."


def _figures(manifest: Manifest | None, scores: list[Score]) -> list[tuple[str, str, str]]:
    """Return the key figures: name, value, and a remark."""
    figures: list[tuple[str, str, str]] = []
    if manifest is not None and manifest.summary is not None:
        summary = manifest.summary
        figures.append(("Steps", f"{summary.steps:,}", f"{summary.images_seen:,} images seen"))
        scoring = summary.evaluation_seconds
        remark = f"including {format_duration(scoring)} of evaluations" if scoring else ""
        figures.append(("Time", format_duration(summary.elapsed_seconds), remark))
        if summary.images_per_second is not None:
            remark = f"{manifest.device}, {manifest.precision}; median"
            figures.append(("Images per second", f"{summary.images_per_second:,.0f}", remark))
    for score in scores[:2]:
        last = score.last
        remarks = [] if last.deviation is None else [f"± {format_number(last.deviation)}"]
        remarks += [] if score.reference is None else [f"reference {format_number(score.reference)}"]
        remark = " · ".join([*remarks, f"step {last.step:,.0f}"])
        figures.append((score.column.name, format_number(last.value), remark))
    return figures


def _protocols(scores: list[Score]) -> list[tuple[str, Facts]]:
    """Return the distinct protocols, each after the names of its scores."""
    owners: dict[str, tuple[list[str], Facts]] = {}
    for score in scores:
        facts = protocol_facts(score.last.protocol)
        if facts:
            owners.setdefault(repr(facts), ([], facts))[0].append(score.column.name)
    return [(", ".join(names), facts) for names, facts in owners.values()]


def _samples(record: Record) -> tuple[list[tuple[str, Picture]], str]:
    """Return labeled grids in order, and a note about them."""
    shown, problems = embed_series(record.samples, limit=MAX_SAMPLES, max_characters=MAX_SAMPLE_CHARACTERS)
    record.missing += problems
    epochs = _epochs_per_step(record)
    notes = ["One fixed set of latents over the steps."]
    if len(shown) < len(record.samples) - len(problems):
        notes.append(f"{len(shown):,} of the {len(record.samples):,} grids in samples/ are shown, evenly chosen.")
    if any(picture.reduced for _, picture in shown):
        notes.append("Large grids are shown at a reduced size.")
    labeled = []
    for path, picture in shown:
        digits = path.stem.removeprefix("step-")
        step = int(digits) if digits.isdecimal() else None
        epoch = "" if step is None or epochs is None else f", epoch {step * epochs:.1f}"
        labeled.append((path.stem if step is None else f"step {step:,}{epoch}", picture))
    return labeled, " ".join(notes)


def _epochs_per_step(record: Record) -> float | None:
    """Return the epochs of a step, from the last row."""
    steps, epochs = record.curves.get("step"), record.curves.get("epoch")
    if not steps or not epochs or not steps[-1] > 0 or math.isnan(epochs[-1]):
        return None
    return epochs[-1] / steps[-1]


def _pictures(record: Record) -> list[tuple[str, str, Picture]]:
    """Return name, step and content of the newest picture of each name, from evaluations."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in record.pictures:
        match = PICTURE.fullmatch(path.name)
        if match is not None:
            newest[match[1]] = max((int(match[2]), path), newest.get(match[1], (-1, path)))
    shown: list[tuple[str, str, Picture]] = []
    space = MAX_PICTURE_CHARACTERS
    for name, (step, path) in sorted(newest.items())[:MAX_PICTURES]:
        try:
            picture = embed(path)
        except PictureError as error:
            record.missing.append(f"evaluation/{error}")
            continue
        if len(picture.uri) > space:
            record.missing.append(f"evaluation/{path.name} is omitted: the page would be too large")
            continue
        space -= len(picture.uri)
        shown.append((name, f"step {step:,}", picture))
    return shown


def _settings(record: Record) -> list[Setting]:
    """Return the settings of run.toml, components first."""
    values = settings_of(record.document)
    origins = {} if record.manifest is None else record.manifest.origins
    keys = [*(key for key in SECTIONS if key in values), *sorted(key for key in values if key not in SECTIONS)]
    return [Setting(key, _format(key, values[key]), origins.get(key, DEFAULT)) for key in keys]


def _format(key: str, value: object) -> str:
    if key in SECTIONS and isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return format_value(value)


def _commands(record: Record) -> Facts:
    """Return labeled commands that repeat or resume the run, and its original command."""
    title = "Repeat it: the same bits on the same machine, build and number of threads"
    commands = [(title, record.run.command("run", "--config", record.run.config))]
    if record.status in {"interrupted", "running"}:
        commands.append(("Resume it", record.run.command("resume", record.run.path)))
    if record.manifest is not None and record.manifest.command:
        commands.append(("Original command", shell_command(*record.manifest.command)))
    return commands


def _machine(manifest: Manifest) -> Facts:
    """Return machine, data and times as rows of a table."""
    hardware, data = manifest.hardware, manifest.data
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.sizes.items())
    accelerators = [f"{item.name} ({format_bytes(item.memory_bytes)})" for item in hardware.accelerators]
    facts = [
        ("device", manifest.device),
        ("precision", manifest.precision),
        ("processor", hardware.processor),
        ("instructions", hardware.cpu_capability),
        ("cores", "" if hardware.cores is None else str(hardware.cores)),
        ("threads", str(hardware.threads)),
        ("memory", "" if hardware.memory_bytes is None else format_bytes(hardware.memory_bytes)),
        ("accelerators", ", ".join(accelerators)),
        ("platform", hardware.platform),
        ("data", data.source or data.name),
        ("images", f"{data.image} {data.image.dtype} · {sizes}"),
        ("data fingerprint", data.fingerprint),
        ("seed", str(manifest.seed)),
        ("git commit", manifest.git_commit or ""),
        ("started", manifest.created),
        ("last change", manifest.updated),
    ]
    return [(key, value) for key, value in facts if value]
