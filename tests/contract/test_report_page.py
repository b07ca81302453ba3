"""A report page in a browser: self-contained, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from bicameral.charts import (
    Axis,
    Bars,
    Chart,
    HeatMap,
    Series,
    draw_bars,
    draw_chart,
    draw_heat_map,
)
from bicameral.page import Code, Folded, Page, Section, SideBySide, Tile, picture, render_page
from models.zoo.results import figure_table, shipped_evaluation
from tests.chromium import running_chromium

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    evaluation = shipped_evaluation()
    names = [one.name for one in evaluation.entries]
    matrix = HeatMap(
        title="Accuracy under corruptions",
        rows=names,
        columns=list(evaluation.entries[0].corrupted),
        values=np.array([list(one.corrupted.values()) for one in evaluation.entries]),
        texts=[[f"{value:.2f}" for value in one.corrupted.values()] for one in evaluation.entries],
    )
    bars = Bars(
        title="Size",
        axis=Axis(label="bytes"),
        labels=names,
        parts={"graph": [float(one.bytes) for one in evaluation.entries]},
    )
    points = Series(
        name="zoo",
        x=[float(one.macs or 1) for one in evaluation.entries],
        y=[100.0 * (one.accuracy.value or 0.0) for one in evaluation.entries],
        labels=names,
        intervals=[one.accuracy.scaled(100.0, "%") for one in evaluation.entries],
    )
    front = Chart(
        title="Accuracy over multiply-accumulates",
        x=Axis(label="multiply-accumulates per image", log=True),
        y=Axis(label="test accuracy, %"),
        series=[points],
    )
    grey = picture(np.zeros((28, 28), np.uint8), "nothing")
    page = Page(
        title="A report",
        lead="All kinds of blocks.",
        sentences=["It is short."],
        tiles=[Tile(value="1", label="tile")],
        notes=["A note."],
        sections=[
            Section(title="Figures", blocks=[draw_chart(front), draw_heat_map(matrix)]),
            Section(title="Numbers", blocks=["Some text.", figure_table(evaluation)]),
            Section(title="Beside", blocks=[SideBySide(blocks=[draw_bars(bars), grey])]),
            Section(title="Behind", blocks=[Folded(summary="more", blocks=[Code(text="code")])]),
        ],
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(page), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as found:
        yield found


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}],
    ids=["light", "dark", "phone"],
)
def test_it_needs_nothing_else_and_stands_in_nobodys_way(
    browser: Browser, report: Path, options: dict
) -> None:
    page = browser.new_page(**options)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report.as_uri())
    others = [url for url in asked if url != report.as_uri() and not url.startswith("data:")]
    assert not others
    assert not complaints
    for name in ("A report", "Figures", "kernel_head", "Accuracy under corruptions"):
        assert page.get_by_text(name, exact=True).count()
    # No text is cut off and nothing but its own frames scrolls sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    response = Axe().run(page, options=RULES).response
    assert response["passes"], "the rules apply to something"
    assert not [(one["id"], one["help"]) for one in response["violations"]]
    page.close()
