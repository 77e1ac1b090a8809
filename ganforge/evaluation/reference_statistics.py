"""Reference statistics: features of real images in a file with their protocol, so that scoring needs no dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from ganforge.components import Dataset, DatasetInfo, FeatureOutput, Split
from ganforge.config.resolved import ResolvedConfig
from ganforge.data.scoring import Scoring, instantiate_all
from ganforge.errors import DataError, IncompatibleError
from ganforge.evaluation.comparability import EXTRACTOR_NEEDS, diff_real_images
from ganforge.evaluation.image_sets import RealImages
from ganforge.evaluation.protocol import features_protocol
from ganforge.schemas.rows import Protocol, RealImagesProtocol
from ganforge.utils.arrays import read_npz, write_npz
from ganforge.utils.privacy import shorten_paths
from ganforge.utils.schema import StrictModel, first_problem

#: Array of the document.
DOCUMENT = "document"
PARTS = ("features", "logits", "condition")


class ReferenceDocument(StrictModel):
    """Document of a file of reference statistics, with the SHA-256 of every array, its type and shape."""

    format: Literal[1]
    data: DatasetInfo
    protocol: RealImagesProtocol
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """Features of images, `(N, D)`, with logits, and their conditions, `(N,)` or `(N, D)`, or None."""

    output: FeatureOutput
    condition: Tensor | None


@dataclass(frozen=True, slots=True)
class ReferenceStatistics:
    """Features of a dataset's real images, and of as many training images, or None if there were too few.

    A file has `real_features`, and `reference_features` of training images; `…_logits` of a classifier; `…_condition`
    if the images have classes or vectors; and the JSON `document`.
    """

    data: DatasetInfo
    protocol: RealImagesProtocol
    real: StoredFeatures
    reference: StoredFeatures | None

    def save(self, path: Path) -> None:
        """Write a .npz file, whole or not at all; paths are left out. Raises OSError."""
        arrays = {**_arrays("real", self.real), **_arrays("reference", self.reference)}
        protocol = RealImagesProtocol.model_validate(shorten_paths(self.protocol.model_dump(mode="json")))
        document = ReferenceDocument(
            format=1,
            data=replace(self.data, source=""),
            protocol=protocol,
            sha256={name: _sha256(array) for name, array in arrays.items()},
        )
        write_npz(path, {DOCUMENT: np.array(document.model_dump_json()), **arrays})

    @classmethod
    def load(cls, path: Path) -> ReferenceStatistics:
        """Return the content of a file. Raises UsageError if it cannot be read, or is damaged."""
        arrays = read_npz(path)
        if DOCUMENT not in arrays:
            raise DataError(
                f"{path} has no protocol, so its statistics cannot be compared",
                fix="save them with ganforge: ganforge evaluate … --save-reference FILE.npz",
            )
        try:
            document = ReferenceDocument.model_validate_json(str(arrays.pop(DOCUMENT)))
        except ValidationError as error:
            raise DataError(f"{path} is damaged: {first_problem(error, ReferenceDocument)}") from None
        if {name: _sha256(array) for name, array in arrays.items()} != document.sha256:
            raise DataError(f"{path} is damaged: the SHA-256 of an array does not match")
        real, reference = (_stored(arrays, name, document, path) for name in ("real", "reference"))
        if real is None:
            raise DataError(f"{path} is damaged: it has no array real_features")
        return cls(document.data, document.protocol, real, reference)

    def check(self, scoring: Scoring, *, num_samples: int | None, split: Split | None, path: Path) -> None:
        """Raise an error unless the features stand for those of an evaluation; None takes the number or split here.

        Raises DataError, which names the differences, for another split, number or feature extractor, and
        IncompatibleError for a metric that needs images of the dataset.
        """
        for name, metric in scoring.metrics.items():
            if "train" in metric.needs or not metric.needs & (EXTRACTOR_NEEDS | {"generator"}):
                raise IncompatibleError(
                    f"metric {name!r} needs images of the dataset, and {path} holds features only",
                    fix=f"leave {name} out, or leave out --reference",
                )
        features = features_protocol(scoring)
        requested = self.protocol.model_copy(
            update={
                "split": split or self.protocol.split,
                "real_images": num_samples or self.protocol.real_images,
                "features": self.protocol.features if features is None else features,
            }
        )
        if lines := diff_real_images(self.protocol, requested):
            raise DataError(
                f"{path} was saved by another protocol than this evaluation's: {'; '.join(lines)}",
                fix="leave out the options that differ, or save another file: --save-reference",
            )
        if features is None:
            return
        size, classes = scoring.extractor().size, len(scoring.extractor().class_names) or None
        for output in (stored.output for stored in (self.real, self.reference) if stored is not None):
            width = None if output.logits is None else output.logits.shape[1]
            if (output.features.shape[1], width) != (size, classes):
                raise DataError(f"{path} is damaged: it has features of another size than {features.name}")


class ReferenceData(Dataset):
    """Dataset of which metadata and features are known, but no images."""

    def __init__(self, info: DatasetInfo) -> None:
        super().__init__(Dataset.Options())
        self._info = info

    @property
    def info(self) -> DatasetInfo:
        """Metadata of the dataset."""
        return self._info

    def open(self, split: Split) -> NoReturn:
        """Raise DataError."""
        raise DataError(f"the {split} images of data {self._info.name!r} are not in reference statistics")


class FeatureSet(RealImages):
    """Images of which only features and conditions are known; `batch_size` conditions make a batch."""

    def __init__(self, stored: StoredFeatures, batch_size: int, scoring: Scoring) -> None:
        super().__init__(len(stored.output.features), scoring, None)
        self._batch_size = batch_size
        self._stored = stored
        self._scanned = True
        logits = stored.output.logits
        self._output = FeatureOutput(stored.output.features.clone(), None if logits is None else logits.clone())
        self._checksum = self._features_checksum()

    def condition(self) -> Tensor | None:
        """Return the conditions of all images, or None."""
        return None if self._stored.condition is None else self._stored.condition.clone()

    def conditions(self) -> Iterator[Tensor]:
        """Yield the conditions of each batch. Raises IncompatibleError if they are not stored."""
        condition = self.condition()
        if condition is None:
            raise IncompatibleError(
                "the generator needs conditions, and the reference statistics have none", fix="leave out --reference"
            )
        return iter(torch.split(condition, self._batch_size))

    def _images(self) -> Iterator[Tensor]:
        raise IncompatibleError("it reads images, and reference statistics hold features", fix="leave out --reference")


def reference_scoring(resolved: ResolvedConfig, statistics: ReferenceStatistics) -> Scoring:
    """Return the metrics and features of a configuration, with a dataset that is not opened."""
    metrics = instantiate_all(resolved.experiment.metric, resolved.chosen["metric"])
    return Scoring(resolved=resolved, dataset=ReferenceData(statistics.data), info=statistics.data, metrics=metrics)


def check_saving(scoring: Scoring) -> None:
    """Raise IncompatibleError if statistics of the real images cannot be saved."""
    if features_protocol(scoring) is None:
        raise IncompatibleError("no metric has features to save", fix="choose one that has: --metric fid")
    if type(scoring.dataset).to_pixels is not Dataset.to_pixels:
        raise IncompatibleError(
            f"data {scoring.info.name!r} makes pictures itself, so that scores need the dataset",
            fix="leave out --save-reference",
        )


def real_images_protocol(protocol: Protocol) -> RealImagesProtocol:
    """Return the part of a protocol that describes the real images."""
    return RealImagesProtocol(**{name: getattr(protocol, name) for name in RealImagesProtocol.model_fields})


def stored_features(images: RealImages) -> StoredFeatures:
    """Return the features of images, and their conditions unless these are tensors such as images."""
    condition = images.condition()
    is_small = condition is not None and (condition.dtype == torch.int64 or condition.ndim == len("ND"))
    return StoredFeatures(images.features(), condition if is_small else None)


def _arrays(name: str, stored: StoredFeatures | None) -> dict[str, NDArray[Any]]:
    if stored is None:
        return {}
    values = (stored.output.features, stored.output.logits, stored.condition)
    return {f"{name}_{part}": value.numpy() for part, value in zip(PARTS, values, strict=True) if value is not None}


def _stored(
    arrays: Mapping[str, NDArray[Any]], name: str, document: ReferenceDocument, path: Path
) -> StoredFeatures | None:
    """Return the features of a name, or None if the file has none. Raises DataError for other types or counts."""
    features, logits, condition = (arrays.get(f"{name}_{part}") for part in PARTS)
    if features is None:
        return None
    for array in (features, logits):
        if array is not None and (array.dtype != np.float32 or array.ndim != len("ND") or not np.isfinite(array).all()):
            raise DataError(f"{path} is damaged: {name} features are {array.dtype} of shape {array.shape}")
    if any(
        array is not None and len(array) != document.protocol.real_images for array in (features, logits, condition)
    ):
        raise DataError(f"{path} is damaged: it has not {document.protocol.real_images:,} images for {name}")
    output = FeatureOutput(torch.from_numpy(features), None if logits is None else torch.from_numpy(logits))
    return StoredFeatures(output, None if condition is None else torch.from_numpy(condition))


def _sha256(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
