"""What a driver learns: which frames are drawn, and what its answers to them cost.

The steering variants learn with CARIL's two losses, a squared error of the scaled steering and the
cross-entropy of its class, with the faults of the released code mended: nothing is mirrored, and
labels and run-time bins follow one rule (`SteeringClasses`). The path variant learns the likelihood
of the route's offsets under Laplace distributions, and the cross-entropies of their classes. The
pace variant is in `models.caril.pace_lesson`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edge.driver_model import one_hot_from_commands
from edge.sidecar import TrainingPrecision
from models.caril.augmentation import AugmentationSettings, augment_batch
from models.caril.dataset import Frames
from models.networks.driver_trunk import Variant, image_of
from models.networks.dual_head import DualHeadNetwork, PathNetwork
from models.networks.path_classes import (
    DECIDING_BINS,
    OFFSET_SCALES_M,
    class_labels,
    intent_input,
    intent_points,
    path_offsets,
)
from models.networks.steering_classes import (
    STEERING_CLASSES,
    STEERING_SCALE,
    SteeringVariant,
)
from models.trainer import autocast

#: Share of the samples that come from episodes an agent drove (DAgger), if there are any.
DAGGER_SHARE = 0.5
_PATH_DAGGER_SHARE = 0.4
#: Classes rarer than this share are sampled as if they had it, so that few frames do not repeat
#: without end.
_RAREST_SHARE = 0.005

#: Weight of the cross-entropies beside the likelihood of the offsets.
CLASSES_WEIGHT = 0.5

#: How wrong the pose is from which the lane intent is computed, as that of a navigation system.
_INTENT_POSITION_M = 1.0
_INTENT_HEADING_RAD = math.radians(1.0)
#: Share of frames whose intent the network is not told, so that it can drive without.
_INTENT_DROPPED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a lesson draws and changes its batches.

    Attributes:
        batch_size: Frames per step.
        augmentation: How pictures are changed.
        precision: Arithmetic of the network; its losses stay float32.
    """

    batch_size: int
    augmentation: AugmentationSettings
    precision: TrainingPrecision


class _LossWeights(NamedTuple):
    """Weights of the two losses, and the scaled error from which on the Huber loss is linear."""

    regression: float
    classification: float
    huber_delta: float


#: `paper` is CARIL's `0.5 * MSE + 0.5 * cross-entropy`: the Huber loss is half the squared error
#: below delta, and no error of the paper's range reaches this delta. `conditional` weighs the small
#: errors that driving consists of more, so that the cross-entropy does not shape the trunk alone.
_LOSSES: dict[SteeringVariant, _LossWeights] = {
    "paper": _LossWeights(regression=1.0, classification=0.5, huber_delta=8.0),
    "conditional": _LossWeights(regression=40.0, classification=0.25, huber_delta=0.1),
}


class Batches:
    """Frames drawn with replacement, with their pictures changed for the network."""

    def __init__(
        self, frames: Frames, weights: NDArray[np.float64], drawing: Drawing, variant: Variant
    ) -> None:
        self._frames = frames
        self._image = image_of(variant)
        self._with_earlier = variant == "pace"
        self._cumulative = np.cumsum(weights)
        self._drawing = drawing

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], Tensor]:
        """Return the indices of some frames, and their images as the network takes them.

        With an earlier image the tensor has six channels.
        """
        index = self._draw_frames(self._drawing.batch_size, rng)
        pictures = self._frames.gather(index)
        if self._with_earlier:
            pictures = np.concatenate([pictures, self._frames.gather_earlier(index)], axis=3)
        return index, self._change(pictures, rng)

    def draw_upper(
        self, rows: int, times: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Return so many times as many frames, of whose images only the upper rows are there."""
        index = self._draw_frames(times * self._drawing.batch_size, rng)
        return index, self._change(self._frames.gather(index)[:, :rows], rng)

    def _draw_frames(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        points = rng.random(count) * self._cumulative[-1]
        found = np.searchsorted(self._cumulative, points, side="right")
        return np.asarray(np.minimum(found, len(self._frames) - 1), np.int64)

    def _change(self, pictures: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
        images = augment_batch(pictures, self._drawing.augmentation, self._image, rng)
        return torch.from_numpy(images).permute(0, 3, 1, 2)


class SteeringLesson:
    """The `Lesson` of the variants that steer: to steer like the expert."""

    def __init__(
        self,
        variant: SteeringVariant,
        frames: Frames,
        network: DualHeadNetwork,
        drawing: Drawing,
    ) -> None:
        """Join the frames with the network that learns from them."""
        self._variant = variant
        self._frames = frames
        self._labels = STEERING_CLASSES[variant].labels(frames.steer)
        weights = sampling_weights(frames, self._labels, DAGGER_SHARE)
        self._batches = Batches(frames, weights, drawing, variant)
        self._network = network
        self._precision = drawing.precision

    def losses(self, _step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch of frames, change their light, and compare both heads with the labels."""
        index, image = self._batches.draw(rng)
        state = state_tensors(self._frames, index)
        with autocast(self._precision):
            steer, logits = self._network(image, *state)
        target = torch.from_numpy(self._frames.steer[index])
        labels = torch.from_numpy(self._labels[index])
        return steering_losses(self._variant, (steer, logits), target, labels)


def steering_losses(
    variant: SteeringVariant, answers: tuple[Tensor, Tensor], target: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Compare both heads with what the expert steered.

    Args:
        variant: Weighs the losses.
        answers: Raw steer (B, 1) and logits (B, K).
        target: (B,) raw steer of the expert.
        labels: (B,) its class.
    """
    steer, logits = answers
    weights = _LOSSES[variant]
    regression = functional.huber_loss(
        steer.float() * STEERING_SCALE, target[:, None] * STEERING_SCALE, delta=weights.huber_delta
    )
    classification = functional.cross_entropy(logits.float(), labels)
    return {
        "loss": weights.regression * regression + weights.classification * classification,
        "regression_loss": regression,
        "classification_loss": classification,
    }


class PathLesson:
    """The `Lesson` of the variant ``path``: where the route lies, and how sure that is."""

    def __init__(self, frames: Frames, network: PathNetwork, drawing: Drawing) -> None:
        """Join the frames with the network that learns from them."""
        self._frames = frames
        self._points_m = intent_points(frames.ahead_m)
        offsets_m = path_offsets(frames.ahead_m)
        self._offsets = offsets_m / np.array(OFFSET_SCALES_M, np.float32)
        self._labels = class_labels(offsets_m)
        deciding = DECIDING_BINS.labels(offsets_m[:, DECIDING_BINS.column])
        weights = sampling_weights(frames, deciding, _PATH_DAGGER_SHARE)
        self._batches = Batches(frames, weights, drawing, "path")
        self._network = network
        self._precision = drawing.precision

    def losses(self, _step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Draw a batch of frames, change their pictures, and compare both heads with the labels.

        The regression's loss is the negative log likelihood of a Laplace distribution, without its
        constant.
        """
        index, image = self._batches.draw(rng)
        intent = draw_intent(self._points_m[index], _INTENT_DROPPED, rng)
        state = state_tensors(self._frames, index)
        with autocast(self._precision):
            answers = self._network.normalised(image, *state, torch.from_numpy(intent))
        offset, log_scale, logits = (answer.float() for answer in answers)
        error = (offset - torch.from_numpy(self._offsets[index])).abs()
        regression = (error * torch.exp(-log_scale) + log_scale).mean()
        labels = torch.from_numpy(self._labels[index])
        classification = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {
            "loss": regression + CLASSES_WEIGHT * classification,
            "regression_loss": regression,
            "classification_loss": classification,
        }


def state_tensors(frames: Frames, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return the inputs speed_mps (N, 1) and command (N, 4) of some frames."""
    command = one_hot_from_commands(frames.command[index])
    return torch.from_numpy(frames.speed_mps[index])[:, None], torch.from_numpy(command)


def draw_intent(
    points_m: NDArray[np.float32], dropped: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the input `intent` (N, 5), as from a pose that is wrong by 1 m and 1 degree.

    Args:
        points_m: (N, 2, 2) the route's true points, in the car's frame.
        dropped: Share of frames whose intent is left out.
        rng: Draws the errors, one pose a frame.
    """
    count = len(points_m)
    shift_m = rng.normal(0.0, _INTENT_POSITION_M, (count, 1, 2)).astype(np.float32)
    turn = rng.normal(0.0, _INTENT_HEADING_RAD, (count, 1)).astype(np.float32)
    x_m, y_m = points_m[..., 0], points_m[..., 1]
    # Turned by so little that the sine is the angle.
    turned_m = np.stack([x_m + turn * y_m, y_m - turn * x_m], axis=-1)
    return intent_input(turned_m + shift_m, rng.random(count) >= dropped)


def sampling_weights(
    frames: Frames, labels: NDArray[np.int64], dagger_share: float
) -> NDArray[np.float64]:
    """Return how often each frame is drawn, (N,) with sum 1.

    A frame weighs its class's frequency to the power -0.5, half-way between the data as they are,
    where four of five frames are straight, and equal classes. Then the episodes that an agent
    drove get their share as a whole.

    Args:
        frames: The frames.
        labels: (N,) their classes.
        dagger_share: Share of the episodes that an agent drove, if there are any.
    """
    share = np.bincount(labels, minlength=labels.max() + 1) / labels.size
    weights = 1.0 / np.sqrt(np.maximum(share, _RAREST_SHARE))[labels]
    dagger = frames.dagger
    if dagger.any() and not dagger.all():
        weights[dagger] *= dagger_share / weights[dagger].sum()
        weights[~dagger] *= (1.0 - dagger_share) / weights[~dagger].sum()
    return np.asarray(weights / weights.sum())
