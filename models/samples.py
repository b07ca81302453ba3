"""Samples from data sets and recorded drives, for comparing and calibrating models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError, DataError
from edge.agent_sidecar import AgentSpec
from edge.driver_model import state_inputs
from edge.preprocessing import canonical_from_picture, feed_from_canonical
from edge.samples import Samples
from edge.sidecar import Sidecar
from models.caril.dataset import Frames, load_frames
from models.data.dataset import Color
from models.data.sources import NAMED_DATASETS, DatasetOptions, load_dataset
from models.networks.path_classes import INTENT_COLUMNS, intent_input, intent_points
from models.networks.steering_classes import SteeringClasses

Split = Literal["train", "validation", "test"]


def default_source(sidecar: Sidecar) -> str | None:
    """Return the name of the data set that a model was trained on, if it can be had by name."""
    name = sidecar.training.data.name
    return name if name in NAMED_DATASETS else None


def load_samples(sidecar: Sidecar, source: str, split: Split, limit: int | None = None) -> Samples:
    """Load what a model can be asked about.

    Args:
        sidecar: The model.
        source: For a classifier a data set as `models.data.sources.load_dataset` takes it;
            for an agent a folder of `bicameral collect`, or an ``.npz`` file with ``images`` or
            ``pictures``, ``speed_mps`` and ``command``.
        split: Which part; an ``.npz`` file has none.
        limit: At most so many, evenly spaced; None: all.

    Raises:
        DataError: If the source does not fit the model.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"{limit} samples are asked for, expected at least 1")
    if sidecar.agent is None:
        samples = _of_dataset(sidecar, source, split)
    elif source.endswith(".npz"):
        samples = _of_archive(sidecar, Path(source))
    else:
        samples = _of_drives(sidecar, Path(source), split)
    return samples if limit is None else samples.first(limit)


def _of_dataset(sidecar: Sidecar, source: str, split: Split) -> Samples:
    image = sidecar.input.image
    color: Color = "GRAY" if image.color == "GRAY" else "RGB"
    options = DatasetOptions(image_size=(image.height, image.width), color=color)
    dataset = load_dataset(source, options)
    expected = (sidecar.labels, (image.height, image.width, image.channels))
    if (set(dataset.labels), dataset.image_shape) != (set(expected[0]), expected[1]):
        raise DataError(
            f"the data set {dataset.name!r} has the classes {dataset.labels} and images of "
            f"{dataset.image_shape}, {sidecar.name!r} expects {expected[0]} and {expected[1]}"
        )
    part = getattr(dataset, split)
    images: NDArray[np.uint8] = part.images[..., ::-1] if image.color == "BGR" else part.images
    # Folders are read in the order of their names; a network has its classes in any.
    order = np.array([sidecar.labels.index(label) for label in dataset.labels], np.int64)
    return Samples(
        description=f"{len(part)} {split} images of {dataset.name}",
        images=np.invert(images) if image.invert else images,
        labels=order[part.labels],
    )


def _of_drives(sidecar: Sidecar, folder: Path, split: Split) -> Samples:
    frames = load_frames(folder, split, spec=sidecar.input.image)
    every = np.arange(len(frames))
    extra = _extra(sidecar, frames.speed_mps, frames.command)
    if "earlier" in {one.name for one in sidecar.extra_inputs}:
        extra["earlier"] = _fed(sidecar, frames.gather_earlier(every))
    if "intent" in extra:
        known = np.asarray(np.isfinite(frames.ahead_m).all(axis=(1, 2)))
        extra["intent"] = intent_input(intent_points(frames.ahead_m), known)
    return Samples(
        description=f"{len(frames)} {split} frames of {folder.name}",
        images=frames.gather(every),
        labels=_classes(sidecar, frames),
        extra=extra,
    )


def _classes(sidecar: Sidecar, frames: Frames) -> NDArray[np.int64] | None:
    """Return the classes (N,) of the expert's steering; None for a network that does not steer."""
    if not isinstance(sidecar.agent, AgentSpec):
        return None
    classes = SteeringClasses(edges=sidecar.agent.bin_edges, clip_outside=True)
    return classes.labels(frames.steer)


def _of_archive(sidecar: Sidecar, path: Path) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as archive:
            images = archive["images" if "images" in archive else "pictures"]
            speed_mps, command = archive["speed_mps"], archive["command"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"cannot read the frames {path}: {error}; expected an .npz file with images or "
            "pictures, speed_mps and command"
        ) from error
    image = sidecar.input.image
    if images.shape[1:3] != (image.height, image.width):
        images = canonical_from_picture(images, image)
    extra = _extra(sidecar, speed_mps, command)
    if "earlier" in {one.name for one in sidecar.extra_inputs}:
        extra["earlier"] = _fed(sidecar, images)  # nothing has moved
    return Samples(description=f"{len(images)} frames of {path.name}", images=images, extra=extra)


def _fed(sidecar: Sidecar, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(feed_from_canonical(images, sidecar.input), np.float32)


def _extra(
    sidecar: Sidecar, speed_mps: NDArray[np.floating], command: NDArray[np.integer]
) -> dict[str, NDArray[np.float32]]:
    known = {
        **state_inputs(speed_mps, command),
        "intent": np.zeros((len(command), INTENT_COLUMNS), np.float32),
    }
    return {one.name: known[one.name] for one in sidecar.extra_inputs if one.name in known}
