"""The panel that watches the server work: its figures are the server's own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

CASCADE = "fashion_mnist_cascade"


@pytest.fixture
def live(page: Page) -> Page:
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#workers li")).to_have_count(1)
    return page


@pytest.fixture
def ask(site, clothes, png) -> Callable[[int], None]:
    """Ask the cascade for so many pictures."""

    def ask(count: int) -> None:
        for image in clothes[:count]:
            answer = site.api.post(f"/v1/classify/{CASCADE}", content=png(image))
            answer.raise_for_status()

    return ask


def test_requests_are_seen_with_rates_quantiles_and_shares(live, site, ask):
    ask(40)
    expect(live.locator("#tile-throughput .tile-value")).not_to_have_text(re.compile(r"^(–|0\.0)$"))
    for tile in ("median", "p99"):
        expect(live.locator(f"#tile-{tile} .tile-value")).to_have_text(re.compile(r"\d (µs|ms|s)$"))
    expect(live.locator("#tile-queue .tile-value")).to_have_text("0")
    expect(live.locator("#tile-throughput path")).to_have_count(2)
    lately = live.locator(".share-block").first
    expect(lately).to_contain_text("Network A")
    expect(lately.locator("li[data-stage=a] strong")).to_have_text(re.compile(r"^\d+ %$"))


def test_the_table_holds_what_the_server_counted(live, site, ask):
    ask(5)
    text = site.api.get("/metrics").text
    counted = sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith(f'inference_requests_total{{model="{CASCADE}"')
    )
    row = live.locator("#model-table tbody tr").filter(has_text=re.compile(f"^{CASCADE}"))
    expect(row.locator("td").nth(2)).to_have_text(f"{counted:,.0f}")
    expect(row).to_contain_text("ready")
    broken = live.locator("#model-table tbody tr").filter(has_text="broken")
    expect(broken).to_contain_text("JSON")
    index = site.api.post("/v2/repository/index").json()
    expect(live.locator("#model-table tbody tr")).to_have_count(len(index))


def test_one_model_is_watched_alone(live, site, ask):
    ask(5)
    expect(live.locator("#tile-median .tile-value")).not_to_have_text("–")
    live.get_by_label("Watch").select_option("caril_a")
    expect(live.locator("#tile-median .tile-value")).to_have_text("–")
    expect(live.locator("#memory-note")).to_have_text("caril_a has no result memory.")
    expect(live.get_by_role("button", name="Clear…")).to_be_disabled()


def test_the_memory_is_cleared_when_that_is_confirmed(live, site, ask):
    ask(30)
    held = live.locator("[data-counter=entries] dd")
    expect(held).to_have_text(re.compile(r"^[1-9]\d*$"))
    live.get_by_role("button", name="Clear…").click()
    live.get_by_role("button", name="Keep it").click()
    assert site.api.get(f"/v1/memory/{CASCADE}").json()["counters"]["entries"] > 0
    live.get_by_role("button", name="Clear…").click()
    expect(live.get_by_role("dialog")).to_contain_text(CASCADE)
    live.get_by_role("button", name="Clear it").click()
    expect(live.get_by_text(f"{CASCADE} has forgotten everything.")).to_be_visible()
    expect(held).to_have_text("0")
    assert site.api.get(f"/v1/memory/{CASCADE}").json()["counters"]["entries"] == 0


def test_pausing_stops_the_questions(live, watch):
    pause = live.get_by_role("button", name="Pause")
    with live.expect_request("**/v1/live"):
        live.get_by_label("Watch").select_option(CASCADE)
    pause.click()
    expect(pause).to_have_attribute("aria-pressed", "true")
    asked = len(watch.requests)
    live.get_by_label("Watch").select_option("caril_a")
    # The server's state is asked for all the same: more than a turn of this panel has passed then.
    with live.expect_request("**/v2/health/ready"):
        pass
    assert not [url for url in watch.requests[asked:] if url.endswith("/v1/live")]
    with live.expect_request("**/v1/live"):
        pause.click()
