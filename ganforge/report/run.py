"""Content of the page of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.report.curves import training_charts
from ganforge.report.facts import Facts, Setting, commands_of, machine_facts, plugin_facts, settings
from ganforge.report.health import AlertRow, alert_rows
from ganforge.report.images import pictures_of, samples_of
from ganforge.report.pages import Chart, Picture
from ganforge.report.record import Record, listed, number_of, rows, table, text
from ganforge.report.scores import Score, Share, class_shares, protocol_facts, scores_of
from ganforge.utils.format import format_duration, format_number


@dataclass(frozen=True, slots=True)
class ProtocolFacts:
    """Rows of a protocol, with its scores as title."""

    title: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class RunPage:
    """Content of run.html.j2."""

    name: str
    parts: str
    status: str
    sentence: str
    error: str | None
    missing: list[str]
    figures: list[tuple[str, str, str]]
    samples: list[tuple[str, Picture]]
    samples_note: str
    charts: list[Chart]
    scores: list[Score]
    score_charts: list[Chart]
    classes: list[Share]
    protocols: list[ProtocolFacts]
    pictures: list[tuple[str, str, Picture]]
    alerts: list[AlertRow]
    chosen: list[Setting]
    defaults: list[Setting]
    commands: list[tuple[str, str]]
    config: str
    plugins: list[Facts]
    machine: Facts
    versions: Facts
    sessions: list[tuple[str, str, str]]


def run_page(record: Record) -> RunPage:
    """Return the content of the page, and add problems to `record.missing`."""
    manifest = record.manifest
    summary = table(manifest.get("summary"))
    samples, note = samples_of(record)
    scores = scores_of(record.evaluations)
    chosen, defaults = settings(record.document, manifest)
    pictures = pictures_of(record)
    error = text(manifest.get("error"))
    return RunPage(
        name=record.run.name,
        parts=" · ".join(parts_of(manifest)),
        status=record.status,
        sentence=_sentence(record, summary, scores),
        error=error,
        missing=record.missing,
        figures=_figures(manifest, summary, scores),
        samples=samples,
        samples_note=note,
        charts=training_charts(record.curves),
        scores=scores,
        score_charts=[score.chart() for score in scores if len(score.points) > 1],
        classes=class_shares(record.evaluations),
        protocols=_protocols(scores),
        pictures=pictures,
        alerts=alert_rows(manifest.get("health")),
        chosen=chosen,
        defaults=defaults,
        commands=commands_of(record),
        config=record.config,
        plugins=[plugin_facts(plugin) for plugin in rows(manifest.get("plugins"))],
        machine=machine_facts(manifest),
        versions=[(key, text(value) or "") for key, value in table(manifest.get("versions")).items()],
        sessions=[
            (
                text(session.get("at")) or "",
                text(session.get("step")) or "",
                ", ".join(map(str, listed(session.get("changed")))),
            )
            for session in rows(manifest.get("resumed"))
        ],
    )


def parts_of(manifest: Mapping[str, Any]) -> list[str]:
    """Return the names of the main components."""
    components = table(manifest.get("components"))
    return [str(components[section]) for section in ("gen", "disc", "loss", "data") if components.get(section)]


def _sentence(record: Record, summary: Mapping[str, Any], scores: list[Score]) -> str:
    """Return the outcome of the run in one sentence."""
    steps, images = number_of(summary.get("steps")), number_of(summary.get("images_seen"))
    seconds = number_of(summary.get("elapsed_seconds"))
    opening = {
        "finished": "Trained for",
        "interrupted": "Interrupted after",
        "diverged": "Diverged after",
        "failed": "Failed after",
        "running": "Still running when this page was written; so far",
    }.get(record.status, "Trained for")
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
    scored = next(((score, score.last[1]) for score in scores if score.last[1] is not None), None)
    if scored is None:
        return " ".join(parts) + "."
    score, value = scored
    reference = "" if score.reference is None else f" (reference {format_number(score.reference)})"
    return " ".join(parts) + f"; {score.title} {format_number(value)}{reference}."


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
        step, value, deviation = score.last
        remarks = [] if deviation is None else [f"± {format_number(deviation)}"]
        remarks += [] if score.reference is None else [f"reference {format_number(score.reference)}"]
        figures.append((score.title, format_number(value), " · ".join([*remarks, f"step\u00a0{step:,.0f}"])))
    return figures


def _protocols(scores: list[Score]) -> list[ProtocolFacts]:
    """Return the distinct protocols with their scores."""
    owners: dict[str, tuple[list[str], Facts]] = {}
    for score in scores:
        facts = protocol_facts(score.protocol)
        if facts:
            owners.setdefault(repr(facts), ([], facts))[0].append(score.title)
    return [ProtocolFacts(", ".join(titles), facts) for titles, facts in owners.values()]
