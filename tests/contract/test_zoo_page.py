"""The page of the zoo's study in a browser: self-contained, and in nobody's way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from bicameral.page import render_page
from models.data.sources import load_dataset
from models.zoo.results import ZooEvaluation, shipped_evaluation
from studies.zoo_page import zoo_page

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def evaluation() -> ZooEvaluation:
    return shipped_evaluation()


@pytest.fixture(scope="module")
def report(evaluation: ZooEvaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "zoo.html"
    path.write_text(render_page(zoo_page(evaluation, load_dataset("fashion-mnist").test)), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield found
        found.close()


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}],
    ids=["light", "dark", "phone"],
)
def test_it_needs_nothing_else_and_stands_in_nobodys_way(
    browser: Browser, report: Path, evaluation: ZooEvaluation, options: dict
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
    for one in evaluation.entries:
        assert page.get_by_text(one.name, exact=True).count()
    # No text is cut off and nothing but its own frames scrolls sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    response = Axe().run(page, options=RULES).response
    assert response["passes"], "the rules apply to something"
    assert not [(one["id"], one["help"]) for one in response["violations"]]
    page.close()
