"""Rows of metrics.jsonl and evaluation.jsonl: their schemas, and reading them."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ganforge.utils.files import MAX_ROWS_BYTES, error_reason, open_regular
from ganforge.utils.schema import Count, Finite, StrictModel

T = TypeVar("T")

#: Limit of a file's lines.
MAX_ROWS = 1_000_000
#: Limit of its damaged lines, whose validation takes ten microseconds each; a crash leaves one.
MAX_DAMAGED_ROWS = 100_000
#: Limit of a row; one of metrics.jsonl has some hundred bytes, one of evaluation.jsonl some thousand.
MAX_ROW_BYTES = 1 << 20


class MetricProtocol(StrictModel):
    """Metric of a protocol.

    Attributes:
        higher_is_better: Direction of each of its scores.
        needs: Inputs: `features`, `logits`, `train`, `generator`.
        source: SHA-256 of its code, or None if that is in no file.
        bounds: Smallest and largest possible value of scores, None for no limit.
    """

    distribution: str
    options: dict[str, Any]
    higher_is_better: dict[str, bool]
    needs: list[str]
    source: str | None = None
    bounds: dict[str, tuple[Finite | None, Finite | None]] = Field(default_factory=dict)


class LatentProtocol(StrictModel):
    """Latent distribution of a protocol."""

    name: str
    distribution: str
    options: dict[str, Any]


class FeaturesProtocol(LatentProtocol):
    """Feature extractor of a protocol.

    Attributes:
        weights: SHA-256 of its weights.
        source: SHA-256 of its code, or None if that is in no file.
    """

    weights: str
    preprocessing: str
    source: str | None = None


class RealImagesProtocol(StrictModel):
    """Real images of an evaluation and their features.

    Attributes:
        data: Name of the dataset.
        fingerprint: Fingerprint of the real images.
        features: Feature extractor, or None if no metric needs one.
    """

    data: str
    fingerprint: str
    split: str
    real_images: Count
    features: FeaturesProtocol | None


class Protocol(RealImagesProtocol):
    """Everything that the scores of an evaluation depend on.

    Attributes:
        train_images: Number of training images that metrics compared with, or None.
        train_fingerprint: Fingerprint of the training images, or None.
        sampling: Sampling options other than the defaults.
        latent: Latent distribution, or None for images without a generator.
        weights: File of the weights in the checkpoint, `generator` or `generator_ema`; `images` without a generator.
        checkpoint: SHA-256 of the generator's weights, or of the images.
    """

    fake_images: Count
    train_images: Count | None = None
    train_fingerprint: str | None = None
    metrics: dict[str, MetricProtocol]
    sampling: dict[str, Any]
    latent: LatentProtocol | None
    weights: str
    checkpoint: str
    seed: Count
    versions: dict[str, str | None]


class EvaluationRow(StrictModel):
    """Row of evaluation.jsonl.

    Attributes:
        scores: Scores by name; None if not finite.
        reference: Scores of training images in place of the fakes.
        details: Further results of metrics.
        source: Program that evaluated: the training, or `ganforge evaluate`.
        requested_metrics: Metrics that `ganforge evaluate` was given; None for its default, and for a training.
    """

    step: Count
    scores: dict[str, Finite | None]
    reference: dict[str, Finite | None]
    details: dict[str, Any]
    protocol: Protocol
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    source: Literal["training", "evaluate"]
    requested_metrics: list[str] | None = None


#: Row of metrics.jsonl: numbers by column, which may be NaN.
MetricsRow = dict[str, Annotated[int, Field(ge=-(2**63), lt=2**63)] | float]


def _check_row(row: MetricsRow) -> MetricsRow:
    """Refuse a row that no training writes: without a step, or with an impossible time or number of images."""
    if not isinstance(row.get("step"), int) or row["step"] < 0:
        raise ValueError("it has no step")
    for name in ("epoch", "images_seen", "elapsed_seconds"):
        if not 0 <= row.get(name, 0) < math.inf:
            raise ValueError(f"{name} is {row[name]}; it must be a finite number, at least 0")
    return row


METRICS: TypeAdapter[MetricsRow] = TypeAdapter(
    Annotated[MetricsRow, AfterValidator(_check_row)], config=ConfigDict(strict=True)
)
EVALUATIONS = TypeAdapter(EvaluationRow)


def iter_rows(path: Path, schema: TypeAdapter[T]) -> Iterator[T | None]:
    """Yield the rows of a file, None for each damaged line; one line is in memory.

    Raises:
        OSError: The file does not exist, is not a regular file, is too long, or cannot be read.
    """
    with open_regular(path, max_bytes=MAX_ROWS_BYTES) as file:
        yield from _parsed(iter(partial(file.readline, MAX_ROW_BYTES + 1), b""), schema, path)


def read_rows(path: Path, schema: TypeAdapter[T], notice: Callable[[str], None] | None = None) -> list[T]:
    """Return the valid rows of a file; none if it does not exist. Raises OSError as `iter_rows` does.

    Args:
        path: The file.
        schema: Schema of its rows.
        notice: Function that gets a line about damaged rows.
    """
    rows: list[T] = []
    damaged = 0
    with suppress(FileNotFoundError):
        for row in iter_rows(path, schema):
            if row is None:
                damaged += 1
            else:
                rows.append(row)
    if notice is not None and damaged:
        notice(damaged_rows(path, damaged))
    return rows


def damaged_rows(path: Path, count: int) -> str:
    """Return the line about damaged rows of a file."""
    return f"{path.name} has {count:,} damaged line{'' if count == 1 else 's'}; skipped"


def newest_rows(path: Path, schema: TypeAdapter[T], notice: Callable[[str], None] | None = None) -> Generator[T]:
    """Yield the valid rows of a file, the last one first; none if it cannot be read.

    When the caller closes the iterator, or at its end, `notice` gets a line with the number of the file's damaged rows
    if one was passed over, and a line about a file that cannot be read.
    """
    damaged = 0
    try:
        with suppress(FileNotFoundError), open_regular(path, max_bytes=MAX_ROWS_BYTES) as file:
            rows = _parsed(_reversed_lines(file), schema, path)
            try:
                for row in rows:
                    if row is None:
                        damaged += 1
                    else:
                        yield row
            finally:
                if damaged and notice is not None:
                    notice(damaged_rows(path, damaged + sum(row is None for row in rows)))
    except OSError as error:
        if notice is not None:
            notice(f"{path.name} cannot be read: {error_reason(error)}")


def _reversed_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first; of a line that is too long, the start."""
    position, rest = file.seek(0, os.SEEK_END), b""
    while position:
        start = max(0, position - MAX_ROW_BYTES)
        file.seek(start)
        rest, *lines = (file.read(position - start) + rest).split(b"\n")
        yield from reversed(lines)
        position, rest = start, rest[: MAX_ROW_BYTES + 1]
    yield rest


def _parsed(lines: Iterator[bytes], schema: TypeAdapter[T], path: Path) -> Iterator[T | None]:
    """Yield the row of each line, None for a damaged one. Raises OSError for more of both than a training writes."""
    damaged = 0
    for number, line in enumerate(lines):
        if number == MAX_ROWS:
            raise OSError(errno.EFBIG, f"it has more than {MAX_ROWS:,} lines", str(path))
        if line.strip():
            row = _parse(line, schema)
            damaged += row is None
            if damaged > MAX_DAMAGED_ROWS:
                raise OSError(errno.EFBIG, f"it has more than {MAX_DAMAGED_ROWS:,} damaged lines", str(path))
            yield row


def _parse(line: bytes, schema: TypeAdapter[T]) -> T | None:
    if len(line) > MAX_ROW_BYTES:
        return None
    try:
        return schema.validate_json(line)
    except ValidationError:
        return None
