"""A plan is measured in processes of its own, kept round by round, and resumed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bicameral.errors import ConfigError, DataError, UserError
from bicameral.files import write_json_atomic
from models.measurement.record import (
    MEASUREMENT_NAME,
    Measurement,
    MeasurePlan,
    read_measurement,
    streams_from_percents,
)
from models.measurement.run import run_plan


def ignore(done: int, total: int, note: str) -> None:
    """Take no notice of progress."""


@pytest.fixture(scope="module")
def measured(
    plan: MeasurePlan, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Measurement, Path]:
    folder = tmp_path_factory.mktemp("out")
    return run_plan(plan, folder, "bicameral measure", resume=False, progress=ignore), folder


def test_every_model_has_a_window_on_every_stream_in_every_round(
    measured: tuple[Measurement, Path], plan: MeasurePlan
) -> None:
    measurement, _ = measured
    assert measurement.is_complete
    assert [part.session for part in measurement.parts] == [0, 1]
    for part in measurement.parts:
        found = {(w.model, w.duplicates, w.window.round) for w in part.windows}
        assert len(found) == len(part.windows) == 4 * 2 * 2
        assert set(part.warm_ups) == set(plan.models)
        assert part.device_after is not None
    for window in measurement.parts[0].windows:
        assert window.window.items == round(10 * (1 + window.duplicates))
        assert window.window.cpu_s > 0.0
        assert window.window.wall_s > 0.0


def test_without_a_meter_the_energy_is_null_and_says_why(
    measured: tuple[Measurement, Path],
) -> None:
    measurement, _ = measured
    for part in measurement.parts:
        if part.meter is None:  # a machine with RAPL has one
            assert part.meter_reason
            assert part.idle_before is part.idle_after is None
            assert {w.window.energy.energy.value for w in part.windows} == {None}
            assert {w.window.energy.energy.reason for w in part.windows} == {part.meter_reason}


def test_the_models_answers_and_footprints_are_recorded(measured: tuple[Measurement, Path]) -> None:
    large, a, pair, remembering = measured[0].models
    assert [large.parameters, a.parameters, pair.parameters] == [200, 10, 40]
    assert a.file_bytes < pair.file_bytes
    assert {answers.macs_per_image.value for answers in large.answers} == {2000.0}
    for answers in pair.answers:
        assert answers.macs_per_image.value == pytest.approx(100 + 300 * answers.share_b)
    none_again, all_again = remembering.answers
    assert none_again.hit_rate == 0.0
    assert all_again.hit_rate == 0.5
    assert all_again.accuracy == pair.answers[1].accuracy
    for record in measured[0].models:
        assert record.peak_rss_bytes.value is not None
        assert record.rss_before_bytes.value is not None
        assert record.peak_rss_bytes.value >= record.rss_before_bytes.value > 1e6


def test_the_record_is_read_back_as_it_was_written(
    measured: tuple[Measurement, Path], tmp_path: Path
) -> None:
    measurement, folder = measured
    assert read_measurement(folder / MEASUREMENT_NAME) == measurement
    damaged = tmp_path / "damaged.json"
    damaged.write_text((folder / MEASUREMENT_NAME).read_text()[:-50])
    with pytest.raises(DataError, match="is no measurement of schema 1"):
        read_measurement(damaged)


def test_an_interruption_keeps_the_finished_rounds_and_the_rest_is_resumed(
    plan: MeasurePlan, tmp_path: Path
) -> None:
    short = replace(plan, models=plan.models[:2], rounds=4, sessions=1, streams=(0.0,))

    def interrupt(done: int, total: int, note: str) -> None:
        path = tmp_path / MEASUREMENT_NAME
        if path.exists() and read_measurement(path).rounds_of(0) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        # Progress is told seldom, so the interruption may come too late to leave something to do.
        run_plan(replace(short, rounds=400), tmp_path, "", resume=False, progress=interrupt)
    kept = read_measurement(tmp_path / MEASUREMENT_NAME)
    done = kept.rounds_of(0)
    assert 2 <= done < 400
    assert kept.parts[0].device_after is None
    # Let little be missing, as if more had been measured before.
    wanted = replace(short, rounds=done + 2)
    write_json_atomic(tmp_path / MEASUREMENT_NAME, asdict(replace(kept, plan=wanted)))
    resumed = run_plan(wanted, tmp_path, "", resume=True, progress=ignore)
    assert resumed.is_complete
    assert resumed.parts[0] == kept.parts[0]
    assert [part.session for part in resumed.parts] == [0, 0]
    rounds = [w.window.round for part in resumed.parts for w in part.windows]
    assert sorted(set(rounds)) == list(range(done + 2))


def test_what_is_there_is_not_overwritten(
    measured: tuple[Measurement, Path], plan: MeasurePlan
) -> None:
    _, folder = measured
    with pytest.raises(ConfigError, match=r"exists; give --resume"):
        run_plan(plan, folder, "", resume=False, progress=ignore)
    with pytest.raises(ConfigError, match="made by another plan"):
        run_plan(replace(plan, seed=5), folder, "", resume=True, progress=ignore)


def test_a_complete_measurement_is_not_measured_again(
    measured: tuple[Measurement, Path], plan: MeasurePlan
) -> None:
    measurement, folder = measured
    assert run_plan(plan, folder, "", resume=True, progress=ignore) == measurement


def test_a_memory_in_front_of_a_single_network_is_refused(
    plan: MeasurePlan, tmp_path: Path
) -> None:
    wrong = replace(plan, models=(plan.models[1] + "+memory",))
    with pytest.raises(ConfigError, match="only a cascade has a place for one"):
        run_plan(wrong, tmp_path, "", resume=False, progress=ignore)


def test_models_of_different_tasks_are_refused(plan: MeasurePlan, tmp_path: Path) -> None:
    wrong = replace(plan, models=("fashion_mnist_cascade", plan.models[1]))
    with pytest.raises(DataError, match="cannot be compared with 'fashion_mnist_cascade'"):
        run_plan(wrong, tmp_path, "", resume=False, progress=ignore)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"images": 1}, "--images is 1, expected at least 2"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"sessions": 0}, "--sessions is 0"),
        ({"streams": (0.5, 1.2)}, "--streams is '50,120', expected percentages from 0 to 100"),
        ({"streams": ()}, "--streams is ''"),
        ({"streams": (0.5, 0.5)}, "--streams names something twice"),
        ({"models": ("a", "a")}, "--models names something twice"),
        ({"models": ()}, "--models names no model"),
        ({"meter": "foo"}, "unknown meter 'foo'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        MeasurePlan(**changes)  # type: ignore[arg-type]


def test_streams_are_given_in_percent() -> None:
    assert streams_from_percents("0,50,100") == (0.0, 0.5, 1.0)
    with pytest.raises(ConfigError, match=r"--streams is '0;50', expected percentages"):
        streams_from_percents("0;50")
