"""Event file of one session of a run, in RUN/tensorboard."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from ganforge import RunInfo
from ganforge.utils.privacy import shorten_home
from ganforge_tensorboard.settings import facts, flatten, table

#: Format of an event file, named in its first record.
VERSION = "brain.Event:2"

FOLDER = "tensorboard"


class Tracker:
    """Writer of a session's events, flushed at once, so that a kill loses nothing.

    A resumed run and a rollback repeat steps: a purge event makes TensorBoard drop the old ones.
    """

    def __init__(self, run: RunInfo, step: int) -> None:
        """Open a new event file.

        Args:
            run: The run.
            step: Steps already done.

        Raises:
            OSError: The folder cannot be written.
        """
        folder = run.path / FOLDER
        resumed = folder.is_dir() and any(folder.iterdir())
        folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = RecordWriter((folder / name).open("xb"))
        self._last_step = step
        self._write(Event(file_version=VERSION))
        if resumed:
            self._drop_from(step + 1 if step else 0)
        self._write_settings(run, step)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Write a row of metrics.jsonl; tags are the columns."""
        self._scalars(int(row["step"]), {name: value for name, value in row.items() if name != "step"})

    def log_scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """Write the scores of an evaluation, without those that are not finite."""
        finite = {f"evaluation/{name}": value for name, value in scores.items() if value is not None}
        self._scalars(step, finite)

    def log_grid(self, step: int, path: Path) -> None:
        """Write a grid of samples; the file is copied unchanged."""
        with Image.open(path) as image:
            (width, height), channels = image.size, len(image.getbands())
        content = Summary.Image(width=width, height=height, colorspace=channels, encoded_image_string=path.read_bytes())
        self._summary(step, Summary.Value(tag="samples", image=content))

    def finish(self, status: str, error: str | None) -> None:
        """Write the status of the run and close the file."""
        self._text(self._last_step, "status", status if error is None else f"{status}: {shorten_home(error)}")
        if status == "finished":  # TensorBoard keeps the first end that it reads, and other runs may be resumed
            end = HParamsPluginData(session_end_info=SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time()))
            metadata = hparams.create_summary_metadata(end)
            self._summary(
                self._last_step,
                Summary.Value(tag=hparams.SESSION_END_INFO_TAG, metadata=metadata, tensor=hparams.NULL_TENSOR),
            )
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write_settings(self, run: RunInfo, step: int) -> None:
        settings = dict(flatten(shorten_home(run.experiment)))
        self._write(Event(step=step, summary=hparams_pb(settings, trial_id=shorten_home(run.path.name))))
        self._text(step, "configuration", table(settings))
        self._text(step, "facts", table(shorten_home(facts(run.manifest))))

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._summary(step, *(Summary.Value(tag=name, simple_value=value) for name, value in values.items()))

    def _text(self, step: int, tag: str, text: str) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        content = TensorProto(dtype=DT_STRING, tensor_shape=shape, string_val=[text.encode()])
        self._summary(step, Summary.Value(tag=tag, metadata=metadata, tensor=content))

    def _summary(self, step: int, *values: Any) -> None:  # noqa: ANN401 - protobuf's classes have no types
        if step < self._last_step:
            self._drop_from(step)
        self._last_step = step
        self._write(Event(step=step, summary=Summary(value=values)))

    def _drop_from(self, step: int) -> None:
        """Write a purge event: TensorBoard drops this step and all later ones."""
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._file.write(event.SerializeToString())
        self._file.flush()
