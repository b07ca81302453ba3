"""What is to be measured, and how."""

from __future__ import annotations

from dataclasses import dataclass

from bicameral.errors import ConfigError
from models.cascade.streams_results import PUBLISHED_DUPLICATES

#: Behind a cascade's name: with the result memory that its sidecar describes.
MEMORY_SUFFIX = "+memory"

#: The paper's four, of the networks that ship: a large single network, A alone, the cascade, and
#: the cascade with its memory. Costs are relative to the first.
DEFAULT_MODELS = (
    "fashion_mnist_wide_residual32",
    "fashion_mnist_squeeze16_distilled",
    "fashion_mnist_cascade",
    "fashion_mnist_cascade+memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePlan:
    """Everything that decides what the figures mean.

    Attributes:
        models: Names or paths of classifiers and cascades, `MEMORY_SUFFIX` behind a cascade that
            gets its memory. Costs are relative to the first.
        streams: Streams by the share of their images that comes a second time, 0..1.
        data: Name or path of the data set.
        images: Test images that the streams are made of, a random sample.
        seed: Of the sample and the repeats.
        rounds: Windows of every model on every stream, in each session.
        sessions: How often everything is repeated in a process of its own.
        meter: Kind of the meter, ``auto`` or ``none``.
        window_s: Least duration of a window with a meter; without one a window is one pass.
        idle_s: How long the idle power is measured, before and after, with a meter.
        warm_up_s: Longest warm-up of each model.
    """

    models: tuple[str, ...] = DEFAULT_MODELS
    streams: tuple[float, ...] = PUBLISHED_DUPLICATES
    data: str = "fashion-mnist"
    images: int = 1000
    seed: int = 0
    rounds: int = 5
    sessions: int = 2
    meter: str = "auto"
    window_s: float = 10.0
    idle_s: float = 30.0
    warm_up_s: float = 5.0

    def __post_init__(self) -> None:
        for name, least in (("images", 2), ("rounds", 1), ("sessions", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} is {getattr(self, name)}, expected at least {least}")
        if not self.models:
            raise ConfigError("--models names no model, expected at least one")
        for name in ("models", "streams"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ConfigError(f"--{name} names something twice: {values}")
        if not self.streams or not all(0.0 <= share <= 1.0 for share in self.streams):
            percents = ",".join(f"{100 * share:g}" for share in self.streams)
            raise ConfigError(f"--streams is {percents!r}, expected percentages from 0 to 100")


def streams_from_percents(text: str) -> tuple[float, ...]:
    """Return shares 0..1 from percentages with commas between them, e.g. ``0,50,100``.

    Raises:
        ConfigError: If one is no number.
    """
    try:
        return tuple(float(part) / 100.0 for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--streams is {text!r}, expected percentages of repeated images with commas between "
            "them, e.g. 0,50,100"
        ) from None
