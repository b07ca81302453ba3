"""Learning from a larger network's answers (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from edge.preprocessing import tensor_from_canonical
from edge.sidecar import ImageSpec
from models.data.dataset import LabelledImages

#: Softens both distributions; Hinton et al. report 2.5 to 4 for small students.
TEMPERATURE = 3.0
_BATCH = 500


class Teacher:
    """A teacher's answers to every training image and to its mirror image, computed once.

    A shift of a pixel hardly changes a good network's answer, so shifted images get the answer to
    the image itself; running the teacher in every step would cost more than the student.
    """

    def __init__(self, logits: NDArray[np.float32]) -> None:
        """Keep logits (2, N, C): of the images, and of their mirror images."""
        self._logits = logits
        self.fingerprint = hashlib.sha256(np.ascontiguousarray(logits).tobytes()).hexdigest()

    @classmethod
    def from_network(cls, network: nn.Module, images: LabelledImages, spec: ImageSpec) -> Teacher:
        """Run a trained network, in evaluation mode, over the training images."""
        both = [images.images, images.images[:, :, ::-1]]
        return cls(np.stack([predict_logits(network, view, spec) for view in both]))

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

    def loss(
        self, logits: Tensor, index: NDArray[np.integer], mirrored: NDArray[np.bool_]
    ) -> Tensor:
        """Return the cross-entropy to the teacher, softened, times the squared temperature.

        Args:
            logits: (B, C) of the student.
            index: (B,) which training images they belong to.
            mirrored: (B,) whether they were mirrored.
        """
        answers = torch.from_numpy(self._logits[mirrored.astype(np.int64), index])
        target = functional.softmax(answers / TEMPERATURE, dim=1)
        return functional.cross_entropy(logits / TEMPERATURE, target) * TEMPERATURE**2


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
