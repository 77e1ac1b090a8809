"""Content of the page of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ganforge.report.curves import training_charts
from ganforge.report.facts import Facts, commands_of, machine_facts, settings
from ganforge.report.health import alert_rows
from ganforge.report.images import pictures_of, samples_of
from ganforge.report.record import Record, listed, number_of, rows, table, text
from ganforge.report.scores import Score, class_shares, protocol_facts, scores_of
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
    summary = table(manifest.get("summary"))
    samples, note = samples_of(record)
    scores = scores_of(record.evaluations)
    chosen, defaults = settings(record.document, manifest)
    components = table(manifest.get("components"))
    return {
        "name": record.run.name,
        "parts": " · ".join(str(components[key]) for key in ("gen", "disc", "loss", "data") if components.get(key)),
        "status": record.status,
        "sentence": _sentence(record, summary, scores),
        "error": text(manifest.get("error")),
        "missing": record.missing,
        "figures": _figures(manifest, summary, scores),
        "samples": samples,
        "samples_note": note,
        "charts": training_charts(record.curves),
        "scores": scores,
        "score_charts": [score.chart() for score in scores if len(score.values) > 1],
        "classes": class_shares(record.evaluations),
        "protocols": _protocols(scores),
        "pictures": pictures_of(record),
        "alerts": alert_rows(manifest.get("health")),
        "chosen": chosen,
        "defaults": defaults,
        "commands": commands_of(record),
        "config": record.config,
        "plugins": rows(manifest.get("plugins")),
        "machine": machine_facts(manifest),
        "versions": table(manifest.get("versions")),
        "sessions": [(session, listed(session.get("changed"))) for session in rows(manifest.get("resumed"))],
    }


def _sentence(record: Record, summary: Mapping[str, Any], scores: list[Score]) -> str:
    """Return the outcome of the run in one sentence."""
    steps, images = number_of(summary.get("steps")), number_of(summary.get("images_seen"))
    seconds = number_of(summary.get("elapsed_seconds"))
    opening = OPENINGS.get(record.status, "Trained for")
    if steps is None:
        last = max(filter(math.isfinite, record.curves.get("step", ())), default=None)
        length = f"at least {last:,.0f} steps" if last is not None else "an unknown number of steps"
    else:
        length = f"{steps:,.0f} steps"
    parts = [f"{opening} {length}"]
    if images is not None:
        parts.append(f"({format_number(int(images))} images)")
    if seconds is not None:
        parts.append(f"in {format_duration(seconds)}")
    device = text(record.manifest.get("device"))
    if device is not None:
        parts.append(f"on {device}")
    scored = next((score for score in scores if score.last.value is not None), None)
    if scored is None:
        return " ".join(parts) + "."
    reference = "" if scored.reference is None else f" (reference {format_number(scored.reference)})"
    return f"{' '.join(parts)}; {scored.column.name} {format_number(scored.last.value)}{reference}."


def _figures(
    manifest: Mapping[str, Any], summary: Mapping[str, Any], scores: list[Score]
) -> list[tuple[str, str, str]]:
    """Return the key figures: name, value, and a remark."""
    figures: list[tuple[str, str, str]] = []
    steps, images, rate, seconds = (
        number_of(summary.get(key)) for key in ("steps", "images_seen", "images_per_second", "elapsed_seconds")
    )
    if steps is not None:
        figures.append(("Steps", f"{steps:,.0f}", "" if images is None else f"{images:,.0f} images seen"))
    if seconds is not None:
        scoring = number_of(summary.get("evaluation_seconds")) or 0.0
        remark = f"including {format_duration(scoring)} of evaluations" if scoring else ""
        figures.append(("Time", format_duration(seconds), remark))
    if rate is not None:
        precision = text(manifest.get("precision"))
        where = ", ".join(filter(None, [text(manifest.get("device")), precision]))
        figures.append(("Images per second", f"{rate:,.0f}", f"{where}; median" if where else "median"))
    for score in scores[:2]:
        last = score.last
        remarks = [] if last.deviation is None else [f"± {format_number(last.deviation)}"]
        remarks += [] if score.reference is None else [f"reference {format_number(score.reference)}"]
        remark = " · ".join([*remarks, f"step\u00a0{last.step:,.0f}"])
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
