"""Charts of the report: round ticks, labels that hide nothing, texts that stay texts."""

from __future__ import annotations

import math
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from models.cascade.report.axes import Axis, linear_axis, log_axis, nice_step
from models.cascade.report.bars import Bar, BarChart, BarGroup, draw_bars
from models.cascade.report.charts import Chart, Point, Series, draw_chart
from models.cascade.report.label_placement import Box, place_labels
from models.cascade.report.matrices import Tile, TintedMatrix, draw_matrix
from models.cascade.report.quantities import magnitude, microseconds, percent, points, ratio

NASTY = '<script>alert("1")</script> & more'


@pytest.mark.parametrize(
    ("span", "about", "step"),
    [(10.0, 5, 2.0), (1.0, 4, 0.25), (3.1, 6, 0.5), (0.004, 4, 0.001), (70_000.0, 7, 10_000.0)],
)
def test_steps_are_round(span: float, about: int, step: float) -> None:
    assert nice_step(span, about) == pytest.approx(step)


@pytest.mark.parametrize(
    "axis",
    [
        Axis(label="", low=87.3, high=93.9),
        Axis(label="", low=-0.03, high=0.07),
        Axis(label="", low=0.0, high=12.5),
        Axis(label="", low=1.1e6, high=1.5e8, kind="log"),
        Axis(label="", low=19.0, high=45.0, kind="log"),
        Axis(label="", low=0.9, high=5e9, kind="log"),
    ],
)
def test_ticks_lie_on_the_axis_and_say_where(axis: Axis) -> None:
    ticks = axis.ticks(6)
    assert 3 <= len(ticks) <= 14
    units = {"k": 1e3, "M": 1e6, "G": 1e9}
    for value, label in ticks:
        assert -1e-9 <= axis.share(value) <= 1.0 + 1e-9
        number, _, prefix = label.partition(" ")
        assert float(number) * units.get(prefix, 1.0) == pytest.approx(value, abs=1e-12)
    assert len({label for _, label in ticks}) == len(ticks)


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [100.0, 100.0], [1.0, 2.0]])
def test_an_axis_holds_its_values_even_if_they_are_all_the_same(values: list[float]) -> None:
    axis = linear_axis("", values, bounds=(0.0, 100.0))
    assert 0.0 <= axis.low < axis.high <= 100.0
    assert all(0.0 <= axis.share(value) <= 1.0 for value in values)
    axis = log_axis("", [value + 1.0 for value in values])
    assert all(0.0 < axis.share(value + 1.0) < 1.0 for value in values)


def test_labels_hide_neither_each_other_nor_a_mark() -> None:
    rng = np.random.default_rng(0)
    frame = Box(left=0.0, top=0.0, right=600.0, bottom=400.0)
    marks = [(float(x), float(y)) for x, y in rng.uniform((0, 0), (600, 400), (40, 2))]
    line = [(float(x), 200.0) for x in range(0, 600, 4)]
    wanted = [(x, y, f"network {k}") for k, (x, y) in enumerate(marks)]
    placed = place_labels(wanted, marks=marks, lines=line, frame=frame, size=12.0)
    assert len(placed) >= 35
    assert placed[0].text == "network 0"
    for k, label in enumerate(placed):
        assert frame.contains(label.box)
        assert not any(label.box.overlaps(other.box) for other in placed[:k])
        for x, y in marks:
            assert not label.box.overlaps(Box(left=x, top=y, right=x + 0.1, bottom=y + 0.1))


def test_a_label_without_a_free_place_beside_its_point_stands_off_with_a_leader() -> None:
    frame = Box(left=0.0, top=0.0, right=400.0, bottom=400.0)
    crowd = [(200.0 + dx, 200.0 + dy) for dx in range(-40, 41, 5) for dy in range(-20, 21, 5)]
    (label,) = place_labels(
        [(200.0, 200.0, "chosen")], marks=crowd, lines=(), frame=frame, size=12.0
    )
    assert label.leader is not None
    assert label.leader[0] == (200.0, 200.0)


def test_texts_are_escaped_in_every_picture() -> None:
    axis = Axis(label=NASTY, low=0.0, high=1.0)
    chart = Chart(
        name="c",
        title=NASTY,
        description=NASTY,
        x=axis,
        y=axis,
        series=(
            Series(
                name=NASTY,
                ink="a",
                mark="star",
                points=(Point(x=0.5, y=0.5, tooltip=NASTY, label=NASTY, whisker=(0.4, 0.6)),),
            ),
        ),
        size=(900.0, 300.0),
    )
    tile = Tile(text=NASTY, ink="b", strength=1.0, tooltip=NASTY)
    matrix = TintedMatrix(
        name="m", title=NASTY, description=NASTY, rows=(NASTY,), columns=(NASTY,), tiles=((tile,),)
    )
    bar = Bar(name=NASTY, ink="a", value=0.0, text=NASTY)
    bars = BarChart(
        name="b", title=NASTY, description=NASTY, groups=(BarGroup(title=NASTY, bars=(bar,)),)
    )
    for markup in (draw_chart(chart), draw_matrix(matrix), draw_bars(bars)):
        assert "<script" not in markup
        texts = [element.text for element in fromstring(markup).iter() if element.text]
        assert texts.count(NASTY) >= 3


def test_a_point_is_drawn_where_its_value_lies() -> None:
    chart = Chart(
        name="c",
        title="t",
        description="d",
        x=Axis(label="x", low=1.0, high=100.0, kind="log"),
        y=Axis(label="y", low=0.0, high=10.0),
        series=(),
    )
    left, bottom = chart.place(1.0, 0.0)
    right, top = chart.place(100.0, 10.0)
    x, y = chart.place(10.0, 5.0)
    assert math.isclose(x, (left + right) / 2.0)
    assert math.isclose(y, (top + bottom) / 2.0)
    assert top < bottom


def test_quantities_are_written_one_way() -> None:
    assert [magnitude(v) for v in (0, 0.25, 12.0, 999.6, 2_361_000, 1.5e8, 2e13)] == [
        "0", "0.25", "12", "1 k", "2.36 M", "150 M", "20 T",
    ]  # fmt: skip
    assert percent(0.91137) == "91.14"
    assert [points(d) for d in (0.00412, -0.00412, 0.00001, -0.00001)] == [
        "+0.41", "-0.41", "0.00", "0.00",
    ]  # fmt: skip
    assert [microseconds(v) for v in (None, 71.54, 1234.5)] == ["–", "71.5", "1,234"]
    assert [ratio(v) for v in (None, 0.2346, 1.0, 1.493)] == ["–", "23.5 %", "100 %", "149 %"]
