"""Content of the page of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ganforge.report.curves import training_charts
from ganforge.report.facts import Facts, Setting, commands_of, machine_facts, settings
from ganforge.report.health import AlertRow, alert_rows
from ganforge.report.images import pictures_of, samples_of
from ganforge.report.pages import Chart, Picture
from ganforge.report.record import Record
from ganforge.report.scores import Score, Share, class_shares, protocol_facts, scores_of
from ganforge.schemas.manifest import Manifest
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
    samples, note = samples_of(record)
    scores = scores_of(record.evaluations)
    chosen, defaults = settings(record.document, {} if manifest is None else manifest.origins)
    pictures = pictures_of(record)
    return RunPage(
        name=record.run.name,
        parts="" if manifest is None else " · ".join(parts_of(manifest)),
        status=record.status,
        sentence=_sentence(record, scores),
        error=None if manifest is None else manifest.error,
        missing=record.missing,
        figures=_figures(manifest, scores),
        samples=samples,
        samples_note=note,
        charts=training_charts(record.curves),
        scores=scores,
        score_charts=[score.chart() for score in scores if len(score.points) > 1],
        classes=class_shares(record.evaluations),
        protocols=_protocols(scores),
        pictures=pictures,
        alerts=alert_rows(manifest),
        chosen=chosen,
        defaults=defaults,
        commands=commands_of(record),
        config=record.config,
        plugins=[]
        if manifest is None
        else [[(key, value or "") for key, value in plugin] for plugin in manifest.plugins],
        machine=[] if manifest is None else machine_facts(manifest),
        versions=[] if manifest is None else list(manifest.versions.items()),
        sessions=[]
        if manifest is None
        else [(session.at, f"{session.step}", ", ".join(session.changed)) for session in manifest.resumed],
    )


def parts_of(manifest: Manifest) -> list[str]:
    """Return the names of the main components."""
    return [manifest.components[section] for section in ("gen", "disc", "loss", "data")]


def _sentence(record: Record, scores: list[Score]) -> str:
    """Return the outcome of the run in one sentence."""
    summary = None if record.manifest is None else record.manifest.summary
    opening = {
        "finished": "Trained for",
        "interrupted": "Interrupted after",
        "diverged": "Diverged after",
        "failed": "Failed after",
        "running": "Still running when this page was written; so far",
    }.get(record.status, "Trained for")
    if summary is None:
        last = max(filter(math.isfinite, record.curves.get("step", ())), default=None)
        length = f"at least {last:,.0f} steps" if last is not None else "an unknown number of steps"
        parts = [f"{opening} {length}"]
    else:
        images = f"({format_number(summary.images_seen)} images)"
        parts = [f"{opening} {summary.steps:,} steps", images, f"in {format_duration(summary.elapsed_seconds)}"]
    if record.manifest is not None:
        parts.append(f"on {record.manifest.device}")
    scored = next(((score, score.last[1]) for score in scores if score.last[1] is not None), None)
    if scored is None:
        return " ".join(parts) + "."
    score, value = scored
    reference = "" if score.reference is None else f" (reference {format_number(score.reference)})"
    return " ".join(parts) + f"; {score.title} {format_number(value)}{reference}."


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
