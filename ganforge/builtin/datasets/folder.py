"""Dataset of the user's own pictures in a folder, an archive or an array."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ganforge.image_files.conversion import FORMATS
from ganforge.image_files.dataset import ImageDataset
from ganforge.image_files.formats import open_images
from ganforge.image_files.source import ImageSource


class Folder(ImageDataset):
    """Pictures of any format that Pillow decodes, at any depth below `path`, in the order of their paths.

    Direct subfolders are the classes, unless a file dataset.json has labels as StyleGAN writes them. Two subfolders
    called `train` and `test` are the splits, with the same classes or none; otherwise all pictures are for training.
    Splits of other names are an error. Hidden files are ignored. A zip or tar archive of such a folder, shards of
    WebDataset, and arrays in .npy and .npz files give the same images as the folder.
    """

    formats: ClassVar = FORMATS

    def open_source(self, path: Path) -> ImageSource:
        """Return the images of a folder or file, known by its extension. Raises DataError."""
        return open_images(path)
