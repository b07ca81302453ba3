"""The former place of `models.data.dataset`; gone as soon as nothing imports it from here."""

from models.data.dataset import ImageDataset, LabelledImages

__all__ = ["ImageDataset", "LabelledImages"]
