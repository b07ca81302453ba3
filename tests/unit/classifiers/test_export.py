"""What an export finds out about a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.session import OnnxSession
from models.classifiers.export import orientation_sensitive
from models.data.dataset import ImageDataset

Tensor = NDArray[np.float32]


class Answering:
    """A session that answers by a rule."""

    def __init__(self, rule: Callable[[Tensor], Tensor]) -> None:
        self.rule = rule

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self.rule(inputs["image"])}


def brightness_of_parts(images: Tensor) -> Tensor:
    left, right = images[..., :8].mean(axis=(1, 2, 3)), images[..., 8:].mean(axis=(1, 2, 3))
    top = images[..., 8:, :].mean(axis=(1, 2, 3))
    return np.stack([left, right, np.where(np.abs(left - right) < 0.2, 9.0, top)], axis=1)


def brightness_alone(images: Tensor) -> Tensor:
    whole = images.mean(axis=(1, 2, 3))
    return np.stack([whole, -whole, np.zeros_like(whole)], axis=1)


@pytest.mark.parametrize(
    ("rule", "sensitive"), [(brightness_of_parts, True), (brightness_alone, False)]
)
def test_a_classifier_is_orientation_sensitive_if_mirrored_images_are_answered_worse(
    rule: Callable[[Tensor], Tensor], sensitive: bool, synthetic_dataset: ImageDataset
) -> None:
    session = cast(OnnxSession, Answering(rule))
    assert orientation_sensitive(session, synthetic_dataset) is sensitive
