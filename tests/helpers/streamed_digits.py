"""Local plugin: the sample digits that ship with ganforge, read image by image."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from torch.utils.data import Dataset as TorchDataset

from ganforge import Component, ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors, hookimpl
from ganforge.builtin.datasets.mnist import SAMPLE
from ganforge.builtin.datasets.mnist_files import CLASSES, read_split


class Digits(TorchDataset[tuple[torch.Tensor, int]]):
    """Map-style dataset of one split."""

    def __init__(self, images: ImageTensors) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        assert self.images.condition is not None
        return self.images.images[index], int(self.images.condition[index])


class StreamedDigits(Dataset):
    """Handwritten digits that the engine streams."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def open(self, split: Literal["train", "test"]) -> Digits:
        return Digits(read_split(SAMPLE, split))

    @cached_property
    def info(self) -> DatasetInfo:
        train, test = (read_split(SAMPLE, split) for split in ("train", "test"))
        return DatasetInfo(
            image=ImageSpec(1, 28, 28, ConditionSpec.classes(len(CLASSES))),
            class_names=CLASSES,
            sizes={"train": len(train), "test": len(test)},
            fingerprint=train.fingerprint(),
            source="the sample's digits, streamed",
        )


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide the dataset."""
    return [Component(kind="dataset", name="streamed-digits", target="streamed_digits:StreamedDigits")]
