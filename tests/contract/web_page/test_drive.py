"""The panel that watches drives which go on now."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page, expect


@pytest.fixture
def drive(page: Page) -> Page:
    page.get_by_role("tab", name="Drive").click()
    return page


@pytest.fixture
def watched(drive, remote_drive) -> Page:
    """The panel while a drive goes on that it shows."""
    drive.get_by_role("button", name="Watch").click()
    remote_drive.start()
    expect(drive.locator("#watch-said")).to_have_text("One drive goes on.")
    expect(drive.locator(".ring-number")).to_have_text(re.compile(r"^[01]\.\d\d$"))
    return drive


def test_it_tells_how_to_drive_and_waits_for_somebody(drive, site):
    expect(drive.locator("#watch-command")).to_have_text(
        f"bicameral evaluate --agent {site.url}v1/drive/caril_a"
    )
    with drive.expect_request("**/v1/drive/caril_a/live"):
        drive.get_by_role("button", name="Watch").click()
    expect(drive.locator("#watch-said")).to_contain_text("Nobody drives with caril_a")
    expect(drive.locator(".screen")).to_be_hidden()
    drive.get_by_role("button", name="Stop").click()
    expect(drive.get_by_role("button", name="Watch")).to_have_attribute("aria-pressed", "false")
    drive.get_by_label("Agent", exact=True).select_option("caril_b")
    expect(drive.locator("#watch-command")).to_contain_text("/v1/drive/caril_b")


def test_what_the_agent_sees_is_shown(watched):
    column = watched.locator(".screen canvas").evaluate(
        """canvas => [...canvas.getContext("2d").getImageData(9, 0, 1, canvas.height).data]
            .filter((_, place) => place % 4 === 0)"""
    )
    above, below = column[len(column) // 4], column[3 * len(column) // 4]
    assert above == pytest.approx(160, abs=12)
    assert below == pytest.approx(60, abs=12)
    about = watched.get_by_label("About this drive")
    expect(about).to_contain_text("Nowhere, live")
    expect(about).to_contain_text("correction second opinion with caril_b, a straight road")


def test_steering_confidence_and_branch_are_the_agents(watched, remote_drive):
    expect(watched.locator(".confidence-line")).to_have_attribute("d", re.compile("L"))
    expect(watched.locator(".steer-line")).to_have_attribute("d", re.compile("L"))
    remote_drive.end()
    expect(watched.locator("#watch-said")).to_contain_text("is over")
    shown = {
        name: watched.locator(place).text_content()
        for name, place in {
            "steer": ".hud-wheel span",
            "confidence": ".ring-number",
            "branch": ".branch",
        }.items()
    }
    # Not every tick is shown, so the last one that is may be one of several.
    decisions = [
        decision
        for decision in remote_drive.decisions
        if shown["steer"] == f"steer {decision.control.steer:+.2f}".replace("-", "−")
        and shown["confidence"] == f"{decision.confidence:.2f}"
        and shown["branch"].lower()
        == decision.branch.removeprefix("second_opinion_").replace("_", " ")
    ]
    assert decisions, shown
    assert watched.locator(".hud-speed").text_content() == "18"
    angle = re.search(r"rotate\((.+)\)", watched.locator(".wheel").get_attribute("transform"))
    assert np.sign(round(float(angle[1]), 1)) in {
        np.sign(round(decision.control.steer, 3)) for decision in decisions
    }
    asked = watched.locator(".branch").get_attribute("data-asked") is not None
    assert asked in {decision.diagnostics["asked_b"] > 0 for decision in decisions}


def test_one_drive_of_several_is_chosen(watched, site, remote_drive, another_drive):
    another_drive.start()
    expect(watched.locator("#watch-said")).to_have_text("2 drives go on.")
    drives = watched.locator("#stream")
    expect(drives.locator("option")).to_have_count(2)
    about = watched.get_by_label("About this drive")
    expect(about).to_contain_text("second opinion")
    drives.select_option(index=1)
    expect(about).to_contain_text("correction none")
    another_drive.end()
    expect(watched.locator("#watch-said")).to_have_text("One drive goes on.")
    expect(about).to_contain_text("second opinion")
