"""What components implement. Importing it imports torch."""

from ganforge.interfaces.augmentation import Augmentation
from ganforge.interfaces.dataset import DataInfo, Dataset, Images, Split, check_images
from ganforge.interfaces.features import Extracted, FeatureExtractor, weights_sha256
from ganforge.interfaces.loss import Loss
from ganforge.interfaces.metric import EvaluationContext, Metric, Need
from ganforge.interfaces.networks import Discriminator, Generator, ImageShape, Judgement, Network
from ganforge.interfaces.options import Configurable, Options
from ganforge.interfaces.penalty import Penalty

__all__ = [
    "Augmentation",
    "Configurable",
    "DataInfo",
    "Dataset",
    "Discriminator",
    "EvaluationContext",
    "Extracted",
    "FeatureExtractor",
    "Generator",
    "ImageShape",
    "Images",
    "Judgement",
    "Loss",
    "Metric",
    "Need",
    "Network",
    "Options",
    "Penalty",
    "Split",
    "check_images",
    "weights_sha256",
]
