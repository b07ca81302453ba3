"""What a pace network learns: how fast the expert would drive, and what it saw when it chose that.

The speed is learnt as the path is: its likelihood under a Laplace distribution, and the
cross-entropy of its class.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.caril.dataset import Frames
from models.caril.lessons import (
    CLASSES_WEIGHT,
    DAGGER_SHARE,
    Batches,
    Drawing,
    sampling_weights,
    state_tensors,
)
from models.networks.pace_classes import LAMP_ROWS, LIGHTS, SPEED_SCALE_MPS, pace_labels
from models.networks.pace_network import PaceNetwork
from models.trainer import autocast

#: Weight of what is seen beside the speed that follows from it.
_REASONS_WEIGHT = 1.0
#: Lamps are learnt from so many times as many frames: their part of the network is cheap, and few
#: pixels of a frame teach it.
_LAMPS_TIMES = 2


class PaceLesson:
    """The `Lesson` of the variant ``pace``: how fast the expert would drive, and what it saw."""

    def __init__(self, frames: Frames, network: PaceNetwork, drawing: Drawing) -> None:
        """Join the frames with the network that learns from them."""
        self._frames = frames
        self._labels = pace_labels(frames.others)
        deciding = self._labels.speed_class * len(LIGHTS) + self._labels.light
        weights = sampling_weights(frames, deciding, DAGGER_SHARE)
        self._batches = Batches(frames, weights, drawing, "pace")
        self._network = network
        self._precision = drawing.precision

    def losses(self, _step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch of frames, change their pictures, and compare all heads with the labels."""
        index, images = self._batches.draw(rng)
        with autocast(self._precision):
            answers = self._network.normalised(images, *state_tensors(self._frames, index))
        speed, log_scale, logits, reasons = (answer.float() for answer in answers)
        wanted, classes, lead, stop_line, light = (
            torch.from_numpy(column[index]) for column in self._labels
        )
        error = (speed[:, 0] - wanted / SPEED_SCALE_MPS).abs()
        regression = (error * torch.exp(-log_scale[:, 0]) + log_scale[:, 0]).mean()
        classification = functional.cross_entropy(logits, classes)
        # There is no speed of a vehicle that is not there.
        known = torch.where(lead.isnan(), reasons[:, :2].detach(), lead)
        index, upper = self._batches.draw_upper(LAMP_ROWS, _LAMPS_TIMES, rng)
        with autocast(self._precision):
            lamps = self._network.see_lamps(upper)[1].float()
        lamps = torch.cat([reasons[:, 2:], lamps])
        stop_line = torch.cat([stop_line, torch.from_numpy(self._labels.stop_line[index])])
        light = torch.cat([light, torch.from_numpy(self._labels.light[index])])
        seen = functional.cross_entropy(lamps[:, 1:], light)
        distances = functional.l1_loss(reasons[:, :2], known)
        distances = distances + functional.l1_loss(lamps[:, 0], stop_line)
        return {
            "loss": regression
            + CLASSES_WEIGHT * classification
            + _REASONS_WEIGHT * (seen + distances),
            "regression_loss": regression,
            "classification_loss": classification,
            "light_loss": seen,
            "distance_loss": distances,
        }
