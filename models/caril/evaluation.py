"""A driver's network on recorded frames: what it is asked about, and the figures of its answers.

They do not say how it drives. Models are to be chosen by closed-loop driving on the validation
town.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.driver_model import DriverModel
from models.caril.dataset import Frames, Split, load_frames

Batch = TypeVar("Batch")
Metrics = TypeVar("Metrics")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Generic[Batch, Metrics]):
    """A model's answers on a split.

    Attributes:
        model: The model.
        frames: The frames of the split.
        answers: Its answers to them.
        metrics: Figures by name: ``"all"`` and each weather.
        about: What the record says beside them.
    """

    model: DriverModel[Batch]
    frames: Frames
    answers: Batch
    metrics: dict[str, Metrics]
    about: Mapping[str, Any] = field(default_factory=dict)

    def record(self, split: Split) -> dict[str, Any]:
        """Return the figures as JSON values, with what they were measured on."""
        return {
            "schema": 1,
            "model": self.model.name,
            "model_sha256": self.model.fingerprint,
            "split": split,
            "towns": self.frames.towns,
            "data_sha256": self.frames.fingerprint,
            **self.about,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},  # type: ignore[call-overload]
        }


def judging_frames(model: DriverModel[Any], data: Path, split: Split) -> Frames:
    """Load the frames that a model is to be judged on.

    Args:
        model: The model.
        data: Folder of collected data.
        split: ``train``, ``validation`` or ``test``.

    Raises:
        DataError: If the data are damaged, or a test town was trained on.
    """
    frames = load_frames(data, split, spec=model.image)
    if split == "test" and (seen := set(frames.towns) & set(model.agent.towns)):
        raise DataError(f"{model.name} was trained on {sorted(seen)}: no test of it")
    return frames


def evaluate(
    model: DriverModel[Batch],
    frames: Frames,
    score: Callable[[Batch, Frames, NDArray[np.bool_]], Metrics],
    about: Mapping[str, Any] | None = None,
) -> Evaluation[Batch, Metrics]:
    """Score a model over all frames and per weather.

    Args:
        model: The model.
        frames: What it is asked about.
        score: Gives the figures of answers, frames, and (N,) which of them count.
        about: What the record says beside the figures.
    """
    answers = predict_frames(model, frames)
    weather = np.array([episode.weather for episode in frames.episodes])[frames.episode]
    groups = {"all": np.ones(len(frames), bool)}
    groups |= {name: weather == name for name in frames.weathers}
    return Evaluation(
        model=model,
        frames=frames,
        answers=answers,
        metrics={name: score(answers, frames, keep) for name, keep in groups.items()},
        about=about or {},
    )


def predict_frames(
    model: DriverModel[Batch], frames: Frames, images: NDArray[np.uint8] | None = None
) -> Batch:
    """Return a model's answers for all frames; one that takes a lane intent is not told any.

    Args:
        model: The model.
        frames: What it is asked about.
        images: (N, 64, 160, 3) what it is shown instead of their pictures; None: these.
    """
    parts = [
        model.predict_batch(
            frames.gather(index) if images is None else images[index],
            frames.speed_mps[index],
            frames.command[index],
        )
        for index in frames.batches()
    ]
    kind: Any = type(parts[0])
    joined: Batch = kind(
        **{
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(kind)
        }
    )
    return joined
