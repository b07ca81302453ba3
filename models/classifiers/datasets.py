"""The former place of `models.data.sources`; gone as soon as nothing imports it from here."""

from models.data.sources import FASHION_MNIST_FOLDER, DatasetOptions, load_dataset

__all__ = ["FASHION_MNIST_FOLDER", "DatasetOptions", "load_dataset"]
