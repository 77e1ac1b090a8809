"""Schema of a run's manifest (run.json)."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ganforge.components.image_spec import DatasetInfo
from ganforge.utils.schema import Count, Finite, StrictModel, SystemText

#: Limit of run.json, which has some ten thousand bytes, and more with thousands of classes.
MAX_MANIFEST_BYTES = 1 << 21

FailureMode = Literal["collapse", "saturation", "divergence", "fooled", "not-finite"]
Status = Literal["running", "finished", "interrupted", "diverged", "failed"]


class PluginRecord(StrictModel):
    """Distribution or local plugin that a run used.

    Attributes:
        path: File or folder of a local plugin, or None.
        sha256: Hash of a local plugin's code, or None.
    """

    distribution: SystemText
    version: str | None
    path: SystemText | None
    sha256: str | None


class Accelerator(StrictModel):
    """GPU of the machine."""

    name: str
    memory_bytes: Count


class Hardware(StrictModel):
    """Machine of a run."""

    platform: str
    processor: str
    cores: int | None
    threads: int
    memory_bytes: Count | None
    cpu_capability: str
    accelerators: list[Accelerator]
    device: str | None = None


class BestScore(StrictModel):
    """Best score during a training."""

    metric: str
    value: Finite
    step: Count


class Summary(StrictModel):
    """Numbers at the end of a run's last process; losses that are not finite are None."""

    steps: Count
    images_seen: Count
    images_per_second: Finite | None
    elapsed_seconds: Finite
    losses: dict[str, Finite | None]
    evaluation_seconds: Finite
    best: BestScore | None


class AlertRecord(StrictModel):
    """Health alert, with the text that was shown."""

    alert: FailureMode
    since_step: Count
    until_step: Count | None
    value: float
    message: str
    hint: str

    @property
    def period(self) -> str:
        """Steps between which the alert lasted, for readers."""
        end = ", to the end" if self.until_step is None else f" to {self.until_step:,}"
        return f"from step {self.since_step:,}{end}"

    def line(self) -> str:
        """Return the alert as one line."""
        return f"{self.alert} {self.period}: {self.message}"


class InitialWeightsRecord(StrictModel):
    """Weights of another training that a run started from.

    Attributes:
        source: The run or file.
        sha256: Hash of the file, or of a checkpoint's checksums.json.
        step: Step of the checkpoint, or None for a file.
        loaded: Number of tensors that were loaded.
        skipped: Tensors that were not, with the reason.
    """

    source: SystemText
    sha256: str
    step: Count | None
    loaded: Count
    skipped: list[str]


class ResumedSession(StrictModel):
    """Resumption of a run.

    Attributes:
        at: Time in UTC, ISO 8601.
        step: Step of the checkpoint.
        changed: Differences from the start that can change bits.
        processes: Number of ranks.
    """

    at: str
    step: Count
    command: list[SystemText]
    versions: dict[str, str]
    changed: list[str]
    processes: Count


class ManifestHead(StrictModel):
    """Part of run.json that lists of runs need; other keys are skipped, which halves the time.

    Attributes:
        created: Time of the start in UTC, ISO 8601.
        updated: Time of the last change in UTC, ISO 8601.
        components: Names of the components by section; several are separated by commas.
        summary: None until the first process has ended.
    """

    model_config = ConfigDict(extra="ignore")

    status: Status
    created: str
    updated: str = ""
    components: dict[str, str]
    seed: Count
    device: str
    precision: str
    summary: Summary | None = None


class Manifest(ManifestHead):
    """Content of run.json. Unknown keys, which other programs may add, are kept.

    Attributes:
        qualified: Names of the components with their distributions, by key of the configuration.
        data: Metadata of the dataset.
        origins: Layer of the configuration that each setting comes from.
        versions: Versions of Python and of packages.
        git_commit: Commit of the working folder, with `+` for changed files, or None.
        init: Weights of another training that the run started from, or None.
        error: Reason of a failure or divergence, or None.
        health: Alerts, oldest first.
        resumed: Later processes, oldest first.
    """

    model_config = ConfigDict(extra="allow")

    command: list[SystemText]
    qualified: dict[str, list[str]]
    data: DatasetInfo
    plugins: list[PluginRecord]
    origins: dict[str, SystemText]
    versions: dict[str, str]
    hardware: Hardware
    git_commit: str | None
    init: InitialWeightsRecord | None = None
    error: str | None = None
    health: list[AlertRecord] = Field(default_factory=list)
    resumed: list[ResumedSession] = Field(default_factory=list)

    @property
    def plugin_arguments(self) -> list[str]:
        """Arguments that a command needs for the local plugins of the run."""
        return [word for plugin in self.plugins if plugin.path is not None for word in ("--plugin", plugin.path)]

    def data_difference(self, current: DatasetInfo) -> str | None:
        """Return a message about other data than those of the training, or None."""
        data = self.data
        if data.fingerprint == current.fingerprint:
            return None
        return (
            f"was trained on other data: {data.source or data.name} (fingerprint {data.fingerprint[:12]}); "
            f"here is {current.source or current.name} ({current.fingerprint[:12]})"
        )

    @model_validator(mode="after")
    def _has_images(self) -> Self:
        if min(self.data.image.shape) < 1:
            raise ValueError("data.image has no pixels")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return the content as JSON has it."""
        return self.model_dump(mode="json")
