"""Learning from the answers of larger networks (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from bicameral.protocols import ClassifierSession
from edge.preprocessing import tensor_from_canonical
from edge.sidecar import ImageSpec
from models.classifiers.augmentation import Augmentation, all_views
from models.data.dataset import LabelledImages

#: Softens both distributions; Hinton et al. report 2.5 to 4 for small students.
TEMPERATURE = 3.0
_BATCH = 500

#: Images that a teacher is asked about at once.
_ASKED = 100

#: Keeps the logarithm of a probability finite.
_LEAST = 1e-12


class Teacher:
    """A teacher's answers to every view of every training image, computed once.

    Student and teacher see the same shifted or mirrored image (Beyer et al. 2022, arXiv 2106.05237,
    find that this matters). There are few views of an image, nine if it is shifted by up to one
    pixel, and several students share them; running the teacher in every step costs more.
    """

    def __init__(self, logits: NDArray[np.float32]) -> None:
        """Keep logits (V, N, C) of the V views in the order of `all_views`."""
        self._logits = logits
        self.fingerprint = hashlib.sha256(np.ascontiguousarray(logits).tobytes()).hexdigest()

    @classmethod
    def of_classifiers(
        cls,
        classifiers: Sequence[ClassifierSession],
        images: LabelledImages,
        augmentation: Augmentation,
    ) -> Teacher:
        """Ask one or more classifiers; the mean of their calibrated probabilities teaches."""
        answers = []
        for view in all_views(images.images, augmentation):
            asked = [view[k : k + _ASKED] for k in range(0, len(view), _ASKED)]
            answers.append(np.concatenate([_mean_answer(classifiers, part) for part in asked]))
        return cls(np.log(np.maximum(np.stack(answers), _LEAST)).astype(np.float32))

    @classmethod
    def read(cls, path: Path) -> Teacher:
        """Read answers that `write` wrote.

        Raises:
            DataError: If the file is damaged.
        """
        try:
            return cls(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read the teacher's answers {path}: {error}") from error

    def write(self, path: Path) -> None:
        """Write the answers, whole or not at all."""
        buffer = io.BytesIO()
        np.save(buffer, self._logits)
        write_bytes_atomic(path, buffer.getvalue())

    def loss(self, logits: Tensor, index: NDArray[np.integer], views: NDArray[np.int64]) -> Tensor:
        """Return the cross-entropy to the teacher, softened, times the squared temperature.

        Args:
            logits: (B, C) of the student.
            index: (B,) which training images they belong to.
            views: (B,) which view of each the student saw.
        """
        answers = torch.from_numpy(self._logits[views, index])
        target = functional.softmax(answers / TEMPERATURE, dim=1)
        return functional.cross_entropy(logits / TEMPERATURE, target) * TEMPERATURE**2


def _mean_answer(
    classifiers: Sequence[ClassifierSession], images: NDArray[np.uint8]
) -> NDArray[np.float32]:
    answers = [classifier.predict(images).probabilities for classifier in classifiers]
    return np.asarray(np.mean(answers, axis=0, dtype=np.float32))


def predict_logits(
    network: nn.Module, images: NDArray[np.uint8], spec: ImageSpec
) -> NDArray[np.float32]:
    """Run a network over canonical images (N, H, W, C) uint8 and return its logits (N, K)."""
    with torch.inference_mode():
        answers = [
            network(torch.from_numpy(tensor_from_canonical(images[k : k + _BATCH], spec)))[0]
            for k in range(0, len(images), _BATCH)
        ]
    return np.concatenate([answer.numpy() for answer in answers]).astype(np.float32)
