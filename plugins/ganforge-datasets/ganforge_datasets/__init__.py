"""Components of this plugin. Nothing heavy is imported: classes are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide ten datasets."""
    return [
        Component(
            kind="dataset",
            name="fashion-mnist",
            target="ganforge_datasets.idx:FashionMnist",
            summary="Gray clothes, 1×28×28: 60,000 + 10,000 in ten classes.",
            paper="Xiao, Rasul, Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
            tags=("labels",),
        ),
        Component(
            kind="dataset",
            name="kmnist",
            target="ganforge_datasets.idx:Kmnist",
            summary="Handwritten Japanese characters, 1×28×28: 60,000 + 10,000 in ten classes.",
            paper="Clanuwat et al. 2018, Deep Learning for Classical Japanese Literature, arXiv:1812.01718",
            tags=("labels",),
        ),
        Component(
            kind="dataset",
            name="emnist",
            target="ganforge_datasets.idx:Emnist",
            summary="Handwritten letters and digits, 1×28×28, upright; six splits with 10 to 62 classes.",
            paper="Cohen et al. 2017, EMNIST: an extension of MNIST to handwritten letters, arXiv:1702.05373",
            tags=("labels",),
        ),
        Component(
            kind="dataset",
            name="cifar10",
            target="ganforge_datasets.cifar:Cifar10",
            summary="Small photographs, 3×32×32: 50,000 + 10,000 in ten classes.",
            paper="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
            tags=("labels", "color"),
        ),
        Component(
            kind="dataset",
            name="svhn",
            target="ganforge_datasets.svhn:Svhn",
            summary="House numbers in photographs, 3×32×32: 73,257 + 26,032 in ten classes.",
            paper="Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning",
            tags=("labels", "color"),
            requires=("scipy>=1.11",),
        ),
        Component(
            kind="dataset",
            name="celeba",
            target="ganforge_datasets.celeba:CelebA",
            summary="Faces, cropped and resized: 162,770 + 19,962, read during training; attributes as classes.",
            paper="Liu et al. 2015, Deep Learning Face Attributes in the Wild, arXiv:1411.7766",
            tags=("labels", "color", "large"),
        ),
        Component(
            kind="dataset",
            name="huggingface",
            target="ganforge_datasets.huggingface:HuggingFace",
            summary="Any images that the datasets library loads: from the hub, a folder, or parquet files.",
            paper="Lhoest et al. 2021, Datasets: A Community Library for Natural Language Processing, arXiv:2109.02846",
            tags=("labels", "color", "large"),
            requires=("datasets>=2.20",),
        ),
        Component(
            kind="dataset",
            name="lmdb",
            target="ganforge_datasets.lmdb_images:Lmdb",
            summary="Your own pictures in an LMDB database, as LSUN has them, or with labels in dataset.json.",
            tags=("labels", "files"),
            requires=("lmdb>=1.4",),
        ),
        Component(
            kind="dataset",
            name="hdf5",
            target="ganforge_datasets.hdf5_images:Hdf5",
            summary="Your own pictures in an HDF5 file, as BigGAN-PyTorch and StudioGAN have them.",
            tags=("labels", "files", "h5"),
            requires=("h5py>=3.8",),
        ),
        Component(
            kind="dataset",
            name="parquet",
            target="ganforge_datasets.parquet_images:Parquet",
            summary="Your own pictures in Parquet files of Hugging Face.",
            tags=("labels", "files"),
            requires=("pyarrow>=14",),
        ),
    ]
