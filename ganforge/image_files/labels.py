"""Labels of images in a file `dataset.json`, as StyleGAN writes it."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ganforge.errors import DataError
from ganforge.utils.schema import first_problem

#: Name of the file, at the top of a folder or archive.
LABELS_NAME = "dataset.json"
#: Limit of its length; a million labels have about 50 MB.
MAX_LABELS_BYTES = 1 << 28
#: Limit of the number of classes.
MAX_CLASSES = 1 << 16


class LabelFile(BaseModel):
    """Content of dataset.json; other keys are ignored.

    Attributes:
        labels: Name of an image below the folder of the file, and its class; None: the images have no classes.
        class_names: Names of the classes, which ganforge adds.
    """

    model_config = ConfigDict(strict=True)

    labels: list[tuple[str, Annotated[int, Field(ge=0, lt=MAX_CLASSES)]]] | None
    class_names: list[str] | None = None


class Labels(NamedTuple):
    """Classes of images by name, or None, and names of the classes, or None."""

    labels: dict[str, int] | None
    class_names: tuple[str, ...] | None


def parse_labels(content: bytes, origin: str) -> Labels:
    """Return the labels of a file.

    Args:
        content: The file.
        origin: Its path, for messages.

    Raises:
        DataError: It has another form, names an image twice, or has a class without a name.
    """
    try:
        file = LabelFile.model_validate_json(content)
    except ValidationError as error:
        raise DataError(
            f"{origin}: {first_problem(error)}",
            fix='Write {"labels": [["00000/img00000000.png", 6], …]} with class numbers from 0, or {"labels": null}.',
        ) from None
    if file.labels is None:
        return Labels(None, None)
    labels = {name.replace("\\", "/"): label for name, label in file.labels}
    if len(labels) < len(file.labels):
        raise DataError(f"{origin} has two labels for one image", fix="Remove one of them.")
    largest = max(labels.values(), default=-1)
    if file.class_names is not None and largest >= len(file.class_names):
        raise DataError(
            f"{origin} has the label {largest}, but {len(file.class_names)} class_names", fix="Add the missing names."
        )
    return Labels(labels, None if file.class_names is None else tuple(file.class_names))
