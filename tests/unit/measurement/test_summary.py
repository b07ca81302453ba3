"""Figures from windows: ratios within rounds, net of idle, and nothing that is not known."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from edge.energy.device_state import DeviceState
from edge.energy.meter import MeterInfo
from edge.energy.quantity import measured, nothing
from edge.energy.recorder import WindowEnergy
from edge.energy.warm_up import WarmUp
from edge.energy.windows import Window
from models.measurement.notes import measurement_notes
from models.measurement.record import (
    Measurement,
    MeasurePlan,
    ModelRecord,
    Part,
    StreamAnswers,
    StreamWindow,
)
from models.measurement.report import write_measurement_report
from models.measurement.summary import Figure, figures_csv, idle_power_w, summarise

METER = MeterInfo(
    name="ina3221",
    source="rail POM_5V_IN",
    covers="the module",
    kind="power",
    update_period_s=None,
    resolution=0.04,
)
STATE = DeviceState(
    board=None,
    processor="made up",
    system="Linux",
    power_mode=None,
    clocks_pinned=None,
    cpu_frequencies_hz={},
    other_frequencies_hz={},
    temperatures_c={},
    throttling={},
    load_average=None,
)
ITEMS, WINDOW_S = 1000, 12.0


def energy(joules: float | None, *, fault: str = "", duration_s: float = WINDOW_S) -> WindowEnergy:
    quantity = (
        nothing("J", fault)
        if joules is None
        else (measured(joules, "J", faults=(fault,) if fault else ()))
    )
    return WindowEnergy(
        energy=quantity,
        begin_s=0.0,
        duration_s=duration_s,
        bound=nothing("J", "made up"),
        timing=measured(0.1, "J"),
        samples=600,
        max_gap_s=0.02,
        distinct_values=40,
        failed_reads=0,
        meter_cpu_s=0.0,
    )


def window(model: str, index: int, cpu_s: float, of: WindowEnergy) -> StreamWindow:
    return StreamWindow(
        duplicates=0.5,
        window=Window(
            workload=model, round=index, items=ITEMS, wall_s=WINDOW_S, cpu_s=cpu_s, energy=of
        ),
    )


def part(session: int, windows: list[StreamWindow], *, idle_w: tuple[float, float]) -> Part:
    before, after = (energy(30.0 * power, duration_s=30.0) for power in idle_w)
    return Part(
        session=session,
        began_at="2026-01-01T00:00:00+00:00",
        meter=METER,
        meter_reason="",
        sample_period_s=0.02,
        idle_before=before,
        idle_after=after,
        device_before=STATE,
        device_after=STATE,
        warm_ups={"large": WarmUp(duration_s=5.0, stable=True)},
        windows=tuple(windows),
    )


def measurement(parts: list[Part]) -> Measurement:
    answers = StreamAnswers(
        duplicates=0.5,
        n_images=15,
        accuracy=0.9,
        share_b=0.0,
        hit_rate=0.0,
        macs_per_image=measured(2000.0, "1"),
    )
    record = ModelRecord(
        model="large",
        fingerprint="f",
        parameters=10,
        file_bytes=100,
        rss_before_bytes=measured(1e6, "B"),
        peak_rss_bytes=measured(2e6, "B"),
        answers=(answers,),
    )
    small = replace(
        record, model="small", answers=(replace(answers, macs_per_image=measured(500.0, "1")),)
    )
    return Measurement(
        plan=MeasurePlan(models=("large", "small"), streams=(0.5,), rounds=3, sessions=2),
        command="bicameral measure",
        host="made up",
        versions={"bicameral": "0"},
        dataset="made up",
        dataset_sha256="0",
        models=(record, small),
        parts=tuple(parts),
    )


def two_sessions(slow: float = 1.0) -> Measurement:
    """The machine is three times slower in the second round, for both models alike."""
    parts = []
    for session, factor in ((0, 1.0), (1, slow)):
        windows = []
        for index, mood in enumerate((1.0, 3.0, 1.0)):
            windows.append(window("large", index, 8.0 * mood, energy(60.0)))
            windows.append(window("small", index, 2.0 * mood * factor, energy(36.0)))
        parts.append(part(session, windows, idle_w=(2.0, 2.0)))
    return measurement(parts)


def figure(record: Measurement, model: str, quantity: str) -> Figure:
    return summarise(record)[0.5, model, quantity]


def value(record: Measurement, model: str, quantity: str) -> float | None:
    return figure(record, model, quantity).estimate.value


def test_a_ratio_is_taken_within_a_round() -> None:
    record = two_sessions()
    ratio = figure(record, "small", "cpu_ratio").estimate
    assert ratio.value == pytest.approx(0.25)
    assert ratio.relative_half_width == pytest.approx(0.0)
    assert value(record, "small", "session_difference") == pytest.approx(0.0)
    assert value(record, "small", "macs_ratio") == pytest.approx(0.25)


def test_figures_are_a_tidy_table() -> None:
    header, *lines = csv.reader(figures_csv(two_sessions()).splitlines())
    assert header == [
        "again", "model", "quantity", "value", "low", "high", "n", "unit", "reason"
    ]  # fmt: skip
    [line] = [one for one in lines if one[1:3] == ["small", "cpu_ratio"]]
    assert [float(cell) for cell in line[3:6]] == pytest.approx([0.25] * 3)
    assert line[6:] == ["6", "1", ""]


def test_energy_is_given_in_full_and_net_of_the_idle_power() -> None:
    record = two_sessions()
    for model, gross_j, net_j in (("large", 0.060, 0.036), ("small", 0.036, 0.012)):
        assert value(record, model, "energy_j") == pytest.approx(gross_j)
        assert value(record, model, "net_energy_j") == pytest.approx(net_j)
    assert value(record, "small", "energy_ratio") == pytest.approx(0.6)


def test_what_sensor_and_sampling_leave_open_is_said() -> None:
    """0.1 J of the 36 J of the smaller windows; the made-up sensor's step is unknown."""
    record = two_sessions()
    (note,) = (n for n in measurement_notes(record, summarise(record)) if "steps" in n)
    assert "by up to an unknown share, the moments of its readings by 0.28 %" in note
    assert "reading it took 0.00 % of a core" in note


def test_sessions_that_differ_are_pointed_out() -> None:
    record = two_sessions(slow=1.2)
    assert value(record, "small", "session_difference") == pytest.approx(0.2 / 1.1)
    notes = measurement_notes(record, summarise(record))
    assert any("sessions differ by 18.2 %" in note for note in notes)


def test_windows_that_are_not_valid_are_left_out_and_named() -> None:
    windows = [window("large", i, 8.0, energy(60.0)) for i in range(3)]
    windows += [window("small", i, 2.0, energy(36.0)) for i in range(2)]
    windows += [window("small", 2, 2.0, energy(900.0, fault="throttled: cpu was 3"))]
    record = measurement([part(0, windows, idle_w=(2.0, 2.0))])
    small = figure(record, "small", "energy_j")
    assert (small.estimate.n, small.windows) == (2, 3)
    assert small.estimate.value == pytest.approx(0.036)
    assert small.reason == "throttled: cpu was 3"
    notes = measurement_notes(record, summarise(record))
    assert "1 windows were left out: throttled: cpu was 3." in notes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"idle_after": None}, "interrupted before its idle power"),
        ({"idle_after": energy(30.0 * 2.6, duration_s=30.0)}, "drifted by 26 % from 2.000 to 2.6"),
        (
            {"idle_before": energy(60.0, fault="stuck", duration_s=30.0)},
            "before is not valid: stuck",
        ),
    ],
)
def test_net_energy_needs_an_idle_power_that_can_be_trusted(
    change: dict[str, WindowEnergy | None], expected: str
) -> None:
    record = two_sessions()
    parts = tuple(replace(item, **change) for item in record.parts)
    assert not idle_power_w(parts[0]).valid
    drifted = replace(record, parts=parts)
    assert value(drifted, "large", "energy_j") is not None
    net = figure(drifted, "large", "net_energy_j")
    assert not net.estimate.valid
    assert expected in net.reason


def test_a_power_mode_that_was_changed_meanwhile_spoils_the_session() -> None:
    record = two_sessions()
    changed = replace(
        record.parts[1],
        device_before=replace(STATE, power_mode="MAXN"),
        device_after=replace(STATE, power_mode="5W"),
    )
    record = replace(record, parts=(record.parts[0], changed))
    large = figure(record, "large", "energy_j")
    assert (large.estimate.n, large.windows) == (3, 6)
    assert "power_mode changed from MAXN to 5W meanwhile" in large.reason
    assert any("6 windows were left out" in n for n in measurement_notes(record, summarise(record)))


def test_without_a_meter_nothing_becomes_zero(tmp_path) -> None:
    record = two_sessions()
    windows = [
        replace(w, window=replace(w.window, energy=energy(None, fault="no meter")))
        for w in record.parts[0].windows
    ]
    bare = replace(
        record.parts[0],
        meter=None,
        meter_reason="no meter",
        idle_before=None,
        idle_after=None,
        windows=tuple(windows),
    )
    bare_record = replace(record, parts=(bare,))
    for model in ("large", "small"):
        for quantity in ("energy_j", "net_energy_j", "energy_ratio"):
            found = figure(bare_record, model, quantity)
            assert not found.estimate.valid
            assert found.reason == "no meter"
        assert value(bare_record, model, "cpu_s") is not None
    notes = measurement_notes(bare_record, summarise(bare_record))
    assert any("No joules, for there is no meter (no meter)" in note for note in notes)
    assert any("Not complete: 3 of 6 rounds" in note for note in notes)
    write_measurement_report(tmp_path / "report.html", bare_record)
    page = (tmp_path / "report.html").read_text()
    assert "<td>null</td>" in page
    assert "Energy relative to" not in page


def test_the_report_holds_everything_it_shows(tmp_path) -> None:
    write_measurement_report(tmp_path / "report.html", two_sessions())
    page = (tmp_path / "report.html").read_text()
    for words in ("Energy relative to large", "36.000", "12.000", "POM_5V_IN", "CPU time by round",
                  "[25.0, 25.0]", "unknown", "bicameral measure"):  # fmt: skip
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_nothing_measured_yet_is_a_report_too(tmp_path) -> None:
    empty = measurement([])
    assert value(empty, "large", "cpu_ratio") is None
    write_measurement_report(tmp_path / "report.html", empty)
    assert "Not complete: 0 of 6 rounds" in (tmp_path / "report.html").read_text()
