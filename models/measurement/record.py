"""A measurement: what is to be measured, and every window of it; no figure derived from them.

Everything that tables and reports show is computed from it by `models.measurement.summary`, so that
it can be analysed again in another way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bicameral.errors import ConfigError
from edge.energy.device_state import DeviceState
from edge.energy.discovery import require_meter_kind
from edge.energy.meter import MeterInfo
from edge.energy.quantity import Quantity
from edge.energy.recorder import WindowEnergy
from edge.energy.warm_up import WarmUp
from edge.energy.windows import Window
from models.measurement.streams import PUBLISHED_SHARES
from models.records import read_record

SCHEMA: Literal[1] = 1

#: Name of the file in a folder of results.
MEASUREMENT_NAME = "measurement.json"

#: Behind a cascade's name: with the result memory that its sidecar describes.
MEMORY_SUFFIX = "+memory"

#: The paper's four, of the networks that ship: a large single network, A alone, the cascade, and
#: the cascade with its memory. Costs are relative to the first.
DEFAULT_MODELS = (
    "fashion_mnist_wide_residual32",
    "fashion_mnist_squeeze16_student",
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
    streams: tuple[float, ...] = PUBLISHED_SHARES
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
        require_meter_kind(self.meter)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnswers:
    """What a model answered on one pass over a stream; not timed.

    Attributes:
        duplicates: Share of the stream's images that came a second time, which names the stream.
        n_images: Images of the stream.
        accuracy: Share of right answers, 0..1.
        share_b: Share of the images that a cascade asked more than its first network about; 0 for
            a single network.
        hit_rate: Share of the images that the memory answered; 0 without one.
        macs_per_image: Multiply-accumulates.
    """

    duplicates: float
    n_images: int
    accuracy: float
    share_b: float
    hit_rate: float
    macs_per_image: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """A model as it was measured, and what it needs beside time.

    Attributes:
        model: As the plan names it.
        fingerprint: Hash of everything that decides its answers.
        parameters: Of all its networks.
        file_bytes: Size of all its graphs.
        rss_before_bytes: Memory of a process of its own before the model was loaded.
        peak_rss_bytes: The most memory that the process had while it served all streams.
        answers: One entry per stream.
    """

    model: str
    fingerprint: str
    parameters: int
    file_bytes: int
    rss_before_bytes: Quantity
    peak_rss_bytes: Quantity
    answers: tuple[StreamAnswers, ...]

    def answers_on(self, duplicates: float) -> StreamAnswers:
        """Return what it answered on the stream with this share of repeats."""
        return next(one for one in self.answers if one.duplicates == duplicates)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWindow:
    """A window of one model on one stream."""

    duplicates: float
    window: Window

    @property
    def model(self) -> str:
        """The model, as the plan names it."""
        return self.window.workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one process measured: a session, or the rest of one that was interrupted.

    Attributes:
        session: Index of the session.
        began_at: When, ISO 8601 with zone.
        meter: The meter; None: there was none.
        meter_reason: Why not; empty with a meter.
        sample_period_s: Between two samples of the meter; None without one.
        idle_before: Energy without work, the models loaded; None without a meter.
        idle_after: The same at the end; None too if the part was interrupted.
        device_before: State of the device.
        device_after: The same at the end; None if the part was interrupted.
        warm_ups: By model.
        windows: All windows of all whole rounds.
    """

    session: int
    began_at: str
    meter: MeterInfo | None
    meter_reason: str
    sample_period_s: float | None
    idle_before: WindowEnergy | None
    idle_after: WindowEnergy | None
    device_before: DeviceState
    device_after: DeviceState | None
    warm_ups: Mapping[str, WarmUp]
    windows: tuple[StreamWindow, ...]

    @property
    def rounds(self) -> int:
        """Whole rounds that it holds."""
        return len({window.window.round for window in self.windows})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The whole file.

    Attributes:
        schema: Version of this record.
        plan: What was to be measured.
        command: The command that made it.
        host: The processor.
        versions: Of packages that decide answers and times.
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint.
        models: The models, in the plan's order.
        parts: In the order in which they were measured.
    """

    schema: Literal[1] = SCHEMA
    plan: MeasurePlan
    command: str
    host: str
    versions: Mapping[str, str]
    dataset: str
    dataset_sha256: str
    models: tuple[ModelRecord, ...]
    parts: tuple[Part, ...]

    def rounds_of(self, session: int) -> int:
        """Return how many rounds of a session are there."""
        return sum(part.rounds for part in self.parts if part.session == session)

    @property
    def is_complete(self) -> bool:
        """Whether all rounds of all sessions are there."""
        plan = self.plan
        return all(self.rounds_of(session) >= plan.rounds for session in range(plan.sessions))


def read_measurement(path: Path) -> Measurement:
    """Read a measurement.

    Raises:
        DataError: If the file is absent or is not one of this version.
    """
    return read_record(
        path,
        Measurement,
        what=f"measurement of schema {SCHEMA}",
        remedy="measure again with bicameral measure",
    )
