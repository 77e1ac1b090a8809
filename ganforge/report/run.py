"""Content of the page of a run."""

from __future__ import annotations

import math

from ganforge.report.curves import training_charts
from ganforge.report.facts import Facts, commands_of, machine_facts, settings
from ganforge.report.health import alert_rows
from ganforge.report.images import pictures_of, samples_of
from ganforge.report.pages import SMOOTHING
from ganforge.report.record import Record
from ganforge.report.scores import Score, class_shares, protocol_facts, scores_of
from ganforge.schemas.manifest import Manifest
from ganforge.utils.format import format_duration, format_number

#: Openings of the sentence about a run that has not finished.
OPENINGS = {
    "interrupted": "Interrupted after",
    "diverged": "Diverged after",
    "failed": "Failed after",
    "running": "Still running when this page was written; so far",
}


def run_page(record: Record) -> dict[str, object]:
    """Return the content of run.html.j2, and add problems to `record.missing`."""
    manifest = record.manifest
    samples, note = samples_of(record)
    scores = scores_of(record.evaluations)
    chosen, defaults = settings(record.document, {} if manifest is None else manifest.origins)
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
        "pictures": pictures_of(record),
        "alerts": alert_rows(manifest),
        "chosen": chosen,
        "defaults": defaults,
        "commands": commands_of(record),
        "config": record.config,
        "manifest": manifest,
        "machine": [] if manifest is None else machine_facts(manifest),
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
