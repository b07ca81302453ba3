"""Every panel, in both colours and on a phone, against axe-core's rules (WCAG 2.2 A and AA)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
PHONE = {"width": 360, "height": 740}


def answered(page: Page) -> None:
    page.locator(".sample").first.click()
    expect(page.locator("#bars li")).to_have_count(5)
    page.get_by_text("The same with curl").click()
    page.get_by_text("The answer as JSON").click()


def abstaining(page: Page) -> None:
    answered(page)
    page.get_by_label("Abstain below").fill("100")
    expect(page.locator("#verdict-label")).to_have_text("Not sure enough")


def drawing(page: Page) -> None:
    page.get_by_text("Draw", exact=True).click()
    page.locator("#sketch").click()
    expect(page.locator("#bars li")).to_have_count(5)


def camera(page: Page) -> None:
    page.get_by_text("Camera", exact=True).click()
    expect(page.get_by_text("The camera is off.")).to_be_visible()


def refused(page: Page) -> None:
    picture = {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("#file").set_input_files(picture)
    expect(page.get_by_role("alert")).to_be_visible()


def teaching(page: Page) -> None:
    page.locator("#model").select_option("fashion_mnist_read_out")
    page.locator(".sample").first.click()
    page.get_by_label("Class", exact=True).fill("Something")
    page.get_by_role("button", name="Teach the picture above").click()
    expect(page.locator("#teach-said")).to_contain_text("It has learned")


def live(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#workers li")).to_have_count(1)
    expect(page.locator("#model-table tbody tr")).not_to_have_count(0)


def question(page: Page) -> None:
    live(page)
    page.get_by_role("button", name="Clear…").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def drive(page: Page) -> None:
    page.get_by_role("tab", name="Drive").click()
    page.get_by_role("button", name="Watch").click()
    expect(page.locator(".ring-number")).to_have_text(re.compile(r"^[01]\.\d\d$"))


def key(page: Page) -> None:
    page.get_by_role("button", name="API key: none").click()
    expect(page.get_by_role("dialog")).to_be_visible()


STATES: dict[str, list[Callable[[Page], None]]] = {
    "try": [answered, abstaining, drawing, camera, refused, teaching],
    "live": [live, question],
    "drive": [drive],
    "key": [key],
}


def violations(page: Page, states: list[Callable[[Page], None]], rules: dict) -> dict:
    """Bring a page into one state after the other, and return what axe-core finds in each."""
    found = {}
    for state in states:
        state(page)
        response = Axe().run(page, options=rules).response
        assert response["passes"], "the rules apply to something"
        for violation in response["violations"]:
            places = [node["target"] for node in violation["nodes"]]
            found[state.__name__, violation["id"]] = (violation["help"], places)
    return found


@pytest.mark.parametrize("panel", list(STATES))
def test_nothing_stands_in_the_way_of_anybody(open_page, site, watch, remote_drive, panel):
    watch.refused = True
    if panel == "drive":
        remote_drive.start()
    page = open_page(reduced_motion="reduce")
    expect(page.locator("#model")).to_have_value("fashion_mnist_cascade")
    assert not violations(page, STATES[panel], RULES)
    watch.check(site)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"color_scheme": "dark"}, {"runOnly": ["color-contrast"]}),
        ({"viewport": PHONE}, {"runOnly": ["target-size", "color-contrast", "region"]}),
    ],
    ids=["dark", "phone"],
)
def test_neither_in_the_dark_nor_on_a_phone(open_page, site, watch, remote_drive, options, rules):
    page = open_page(reduced_motion="reduce", **options)
    expect(page.locator("#model")).to_have_value("fashion_mnist_cascade")
    assert not violations(page, [answered, teaching, live], rules)
    remote_drive.start()
    assert not violations(page, [drive], rules)
    watch.check(site)


def test_nothing_moves_when_an_answer_comes(open_page, site, upload, png):
    """Layout shift as browsers measure it; 0.1 is what they call good, here it is next to none."""
    page = open_page(viewport={"width": 1280, "height": 900})
    expect(page.locator("#model")).to_have_value("fashion_mnist_cascade")
    page.evaluate(
        """() => {
            window.shifted = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) window.shifted += entry.value;
            }).observe({type: "layout-shift", buffered: true});
        }"""
    )
    upload(page, png(np.random.default_rng(1).integers(0, 256, (80, 60, 3), np.uint8)))
    expect(page.locator("#canonical")).to_be_visible()
    page.locator("#model").focus()
    assert page.evaluate("() => window.shifted") < 0.02
