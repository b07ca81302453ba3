"""A session with a meter, and a memory that is empty before every pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.energy.recorder import WindowRules
from models.data.sources import DatasetOptions, load_dataset
from models.measurement.record import MeasurePlan, Part
from models.measurement.run import build_plan_streams
from models.measurement.session import Message, SessionTask, measure_session
from models.measurement.streams import Stream
from models.measurement.systems import load_system
from models.measurement.workload import StreamWorkload
from tests.simulated_sensor import SimulatedIna3221


@pytest.fixture(scope="module")
def streams(plan: MeasurePlan) -> tuple[Stream, ...]:
    options = DatasetOptions(image_size=(8, 8), color="GRAY")
    return build_plan_streams(plan, load_dataset(plan.data, options))


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Path]:
    """Give the root of a sensor that flickers between 3 and 5 W until the test ends."""
    simulated = SimulatedIna3221(tmp_path, "hwmon")
    simulated.show(4.0)
    stop = threading.Event()

    def flicker() -> None:
        powers = (3.0, 5.0)
        count = 0
        while not stop.wait(0.003):
            count += 1
            simulated.show(powers[count % 2])

    thread = threading.Thread(target=flicker)
    thread.start()
    yield tmp_path
    stop.set()
    thread.join()


def test_a_meter_gives_every_window_and_the_idle_power(
    plan: MeasurePlan, streams: tuple[Stream, ...], sensor: Path
) -> None:
    messages: list[Message] = []
    task = SessionTask(
        plan=replace(plan, rounds=1, meter="ina3221", window_s=0.3),
        session=0,
        first_round=0,
        streams=streams,
        rules=WindowRules(least_s=0.25, least_periods=5.0),
        root=sensor,
    )
    measure_session(task, messages.append)
    began, measured, ended = (part for part in messages if isinstance(part, Part))
    assert messages[-1] is ended
    assert began.device_after is measured.device_after is None
    assert ended.device_after is not None
    assert began.meter is not None
    assert "VDD_IN" in began.meter.source
    for idle in (began.idle_before, ended.idle_after):
        assert idle is not None
        assert 2.99 < (idle.energy.value or 0.0) / idle.duration_s < 5.01
    windows = measured.windows
    assert windows == ended.windows
    assert len(windows) == 4 * 2
    for window in windows:
        energy = window.window.energy
        assert energy.energy.value is not None
        # On a busy machine the sensor may show one value for a whole window.
        assert 2.99 < energy.energy.value / energy.duration_s < 5.01
        assert energy.samples >= 3
        assert window.window.items % (10 * (1 + window.duplicates)) == 0
        assert energy.duration_s >= window.window.wall_s  # it encloses the work


def test_the_memory_is_empty_before_every_pass(
    plan: MeasurePlan, streams: tuple[Stream, ...]
) -> None:
    """Otherwise the second pass over a stream would hold nothing but repeats."""
    system = load_system(plan.models[3])
    assert system.memory is not None
    workload = StreamWorkload(system, streams[1])
    hits = []
    for _ in range(3):
        before = system.memory.counters().hits
        workload.begin_pass()
        workload.run(0, workload.items_per_pass)
        hits.append(system.memory.counters().hits - before)
    assert hits == [10, 10, 10]


def test_the_streams_hold_the_sample_and_its_repeats(streams: tuple[Stream, ...]) -> None:
    none_again, all_again = streams
    assert (len(none_again), len(all_again)) == (10, 20)
    assert not none_again.repeated.any()
    assert np.array_equal(all_again.repeated, np.arange(20) >= 10)
