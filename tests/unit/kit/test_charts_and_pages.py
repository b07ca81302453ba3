"""Pictures and pages: whole, the same for the same data, and safe to open."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from markupsafe import Markup

from bicameral.charts import (
    INKS,
    Axis,
    Bars,
    Chart,
    Figure,
    HeatMap,
    Series,
    draw_bars,
    draw_chart,
    draw_heat_map,
    place_labels,
    standalone_svg,
)
from bicameral.page import Code, Folded, Page, Section, SideBySide, Tile, picture, render_page
from bicameral.statistics import Estimate, share
from bicameral.tables import Table, columns, row


def front() -> Figure:
    return draw_chart(
        Chart(
            title="Accuracy & cost",
            x=Axis(label="multiply-accumulates", log=True),
            y=Axis(label="accuracy %"),
            series=[
                Series(
                    name="small <networks>",
                    x=[1e6, 2e6],
                    y=[90.0, 91.0],
                    ink="a",
                    labels=["one", "two"],
                    intervals=[share(9, 10), Estimate(value=91.0, low=None, high=None, n=1)],
                ),
                Series(name="front", x=[1e6, 9e6], y=[90.0, 95.0], marker="", line="--"),
                Series(name="shares", x=[3e6], y=[93.0], sizes=[40.0], ink="b"),
            ],
        ),
        caption="Up and left is better.",
    )


def bars() -> Figure:
    return draw_bars(
        Bars(
            title="Time",
            axis=Axis(label="ms"),
            labels=["x", "y"],
            parts={"before": [1.0, 2.0], "after": [0.5, float("nan")]},
        )
    )


def matrix() -> Figure:
    return draw_heat_map(
        HeatMap(
            title="Confusions",
            rows=["cat", "dog"],
            columns=["cat", "dog"],
            values=np.array([[1.0, np.nan], [0.2, 0.8]]),
            texts=[["10", ""], ["2", "8"]],
            framed=[(0, 0)],
            labels=("true", "answer"),
        )
    )


@pytest.mark.parametrize("draw", [front, bars, matrix])
def test_a_figure_is_well_formed_announced_and_the_same_every_time(draw: object) -> None:
    figure = draw()  # type: ignore[operator]
    root = ET.fromstring(figure.svg)
    assert root.get("role") == "img"
    assert root.find("{http://www.w3.org/2000/svg}title").text == figure.title  # type: ignore[union-attr]
    assert figure.svg == draw().svg  # type: ignore[operator]
    assert "var(--" in figure.svg
    assert "NaN" not in figure.svg
    alone = standalone_svg(figure)
    assert "var(" not in alone
    assert INKS["soft"] in alone


def test_a_logarithmic_axis_of_less_than_a_decade_has_plain_labels() -> None:
    chart = Chart(
        title="Times",
        x=Axis(label="µs", log=True),
        y=Axis(label="y"),
        series=[Series(name="", x=[120.0, 800.0], y=[0.0, 1.0])],
    )
    svg = draw_chart(chart).svg
    assert "mathdefault" not in svg
    assert ">200<" in svg
    assert ">300<" not in svg


def test_names_are_shown_as_they_are_in_whatever_script() -> None:
    names = ["$x_", "a$b$", "猫 & 犬", "\\frac"]
    figure = draw_heat_map(
        HeatMap(
            title="$t$",
            rows=names,
            columns=names,
            values=np.eye(4),
            texts=[names] * 4,
        )
    )
    texts = [element.text for element in ET.fromstring(figure.svg).iter() if element.text]
    for name in names:
        assert texts.count(name) >= 6


def test_a_page_escapes_its_texts_and_asks_nobody_for_anything() -> None:
    table = Table(title="T", columns=columns("<b>"), rows=(row("<i>"),), note="<u>")
    page = render_page(
        Page(
            title="<title>",
            lead="<lead>",
            sentences=["<first>", "<second>"],
            tiles=[Tile(value="<1>", label="<l>", note="<n>")],
            notes=["<note>"],
            sections=[
                Section(title="What it is", blocks=["<p1>", table, Code(text="<code>")]),
                Section(title="Two", blocks=[Folded(summary="<s>", blocks=[front()])]),
                Section(title="Three", blocks=[SideBySide(blocks=[Markup("<hr>"), bars()])]),
            ],
        )
    )
    for text in ("title", "lead", "first", "second", "1", "l", "n", "note", "p1", "code", "s"):
        assert f"&lt;{text}&gt;" in page
        assert f"<{text}>" not in page.split("<body>")[1] or text in ("title",)
    assert "<hr>" in page
    assert 'href="#what-it-is"' in page
    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert "src=" not in page.replace('src="data:', "")
    assert "http" not in page.split("<main>")[1].replace("http://www.w3.org/", "")


def test_a_script_is_allowed_only_where_there_is_one() -> None:
    page = render_page(Page(title="t", lead="l", script="let a = 1 < 2;"))
    assert "script-src 'unsafe-inline'" in page
    assert "<script>let a = 1 < 2;</script>" in page


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_a_picture_is_part_of_the_page(shape: tuple[int, ...]) -> None:
    element = picture(np.zeros(shape, np.uint8), 'a "cat"')
    assert element.startswith('<img src="data:image/png;base64,')
    assert 'alt="a &#34;cat&#34;"' in element


def test_a_long_name_leaves_room_for_the_chart() -> None:
    name = "/a/very/long/path" * 20 + "/model.onnx"
    parts = {"one" + name: [1.0], "two" + name: [2.0]}
    figure = draw_bars(Bars(title="t", axis=Axis(label="ms"), labels=[name], parts=parts))
    assert name not in figure.svg
    assert "…" in figure.svg
    assert "/model.onnx" in figure.svg


@pytest.mark.parametrize("seed", range(5))
def test_labels_stay_in_the_frame_and_off_each_other_however_crowded_the_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Most of them at the upper end, where a label above its point would leave the frame.
    points = np.array([300.0, 195.0]) + rng.normal(size=(40, 2)) * (60.0, 4.0)
    sizes = np.column_stack([rng.uniform(20.0, 120.0, 40), np.full(40, 12.0)])
    found = place_labels(points, sizes, points, (0.0, 0.0, 600.0, 200.0))
    boxes = [
        (*corner, *(corner + size))
        for corner, size in zip(found, sizes, strict=True)
        if corner is not None
    ]
    assert len(boxes) > 20
    assert found[0] is not None
    for number, (left, low, right, high) in enumerate(boxes):
        assert 0.0 <= left < right <= 600.0
        assert 0.0 <= low < high <= 200.0
        for other_left, other_low, other_right, other_high in boxes[:number]:
            apart_x = right <= other_left or other_right <= left
            assert apart_x or high <= other_low or other_high <= low


def test_a_label_stands_right_of_a_point_that_has_room() -> None:
    points, sizes = np.array([[100.0, 100.0]]), np.array([[50.0, 10.0]])
    [corner] = place_labels(points, sizes, points, (0.0, 0.0, 600.0, 200.0))
    assert corner is not None
    assert corner.tolist() == [106.0, 95.0]
