"""Images in files: folders, archives and arrays, behind one interface, which plugins extend by further formats."""

from ganforge.image_files.arrays import ARRAY_NAMES, CLASS_NAMES, MAX_IMAGES, ArraySource
from ganforge.image_files.conversion import Format, PackedImage, Packing
from ganforge.image_files.dataset import ImageDataset
from ganforge.image_files.decoding import Decoding, describe_error, extensions, read_header, read_pixels
from ganforge.image_files.layout import LABELS_NAME, MAX_CLASSES, Layout, arrange
from ganforge.image_files.source import ImageSource, PerProcess, sampled_checksum

__all__ = [
    "ARRAY_NAMES",
    "CLASS_NAMES",
    "LABELS_NAME",
    "MAX_CLASSES",
    "MAX_IMAGES",
    "ArraySource",
    "Decoding",
    "Format",
    "ImageDataset",
    "ImageSource",
    "Layout",
    "PackedImage",
    "Packing",
    "PerProcess",
    "arrange",
    "describe_error",
    "extensions",
    "read_header",
    "read_pixels",
    "sampled_checksum",
]
