"""What the page changes for everybody: classes that a model learns, and which models answer."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from server.api_keys import new_api_key

LEARNER, NET = "learner", "net"


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    """Key and table of somebody who may only ask and watch, and of somebody who may do all."""
    return {
        "guest": new_api_key("guest", frozenset({"infer", "metrics"})),
        "owner": new_api_key("owner", frozenset({"infer", "metrics", "manage"})),
    }


@pytest.fixture(scope="module")
def guarded_site(keys, tmp_path_factory, running_site, write_classifier, write_read_out):
    """A server with keys, of a model that learns and of one that does not."""
    folder = tmp_path_factory.mktemp("learning")
    write_classifier(folder, NET)
    write_read_out(folder, LEARNER)
    table = folder.parent / f"{folder.name}-keys.toml"
    table.write_text("\n".join(table for _, table in keys.values()))
    log = folder.parent / f"{folder.name}.log"
    with running_site(folder, log, "--api-keys", str(table)) as site:
        site.api.headers["X-API-Key"] = keys["owner"][0]
        yield site


def use_key(page: Page, key: str) -> None:
    page.locator("#key-button").click()
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


@pytest.fixture
def open_as(guarded_site, keys, open_page, watch) -> Callable[[str], Page]:
    """Open the page with somebody's key."""
    watch.refused = True

    def open_one(who: str) -> Page:
        page = open_page(at=guarded_site)
        use_key(page, keys[who][0])
        return page

    return open_one


def learning(page: Page) -> Page:
    """The page at the model that learns."""
    page.locator("#model").select_option(LEARNER)
    expect(page.locator("#teach-classes tr")).not_to_have_count(0)
    return page


def files(pictures: np.ndarray, png: Callable[[np.ndarray], bytes]) -> list[dict]:
    return [
        {"name": f"{number}.png", "mimeType": "image/png", "buffer": png(picture)}
        for number, picture in enumerate(pictures)
    ]


def test_a_class_is_taught_recognised_and_forgotten(
    open_as, guarded_site, watch, upload, png, pictures
):
    page = learning(open_as("owner"))
    upload(page, png(pictures[3]))
    expect(page.locator("#verdict-label")).not_to_have_text("Show me a picture")
    page.get_by_label("Class", exact=True).fill("Hat & <cap>/1")
    page.get_by_role("button", name="Teach the picture above").click()
    expect(page.locator("#teach-said")).to_contain_text("learned one more picture of Hat & <cap>/1")
    expect(page.locator("#verdict-label")).to_have_text("Hat & <cap>/1")

    page.locator("#teach-files").set_input_files(files(pictures[4:7], png))
    expect(page.locator("#teach-said")).to_contain_text("learned 3 more pictures")
    row = page.locator("#teach-classes tr").first
    expect(row.locator("th, .number")).to_have_text(["Hat & <cap>/1", "4", "4", "Forget…"])
    classes = guarded_site.api.get(f"/v1/models/{LEARNER}/classes").json()["classes"]
    assert {"label": "Hat & <cap>/1", "examples": 4, "taught": 4} in classes

    row.get_by_role("button").click()
    page.get_by_role("button", name="Keep it").click()
    row.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("Forget Hat & <cap>/1?")
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#teach-said")).to_contain_text("has forgotten")
    expect(page.locator("#teach-classes")).not_to_contain_text("Hat")
    expect(page.locator("#verdict-label")).not_to_have_text("Hat & <cap>/1")
    expect(page.get_by_role("button", name="Forget all")).to_be_disabled()
    watch.check(guarded_site)


def test_everything_that_was_taught_is_forgotten_at_once(
    open_as, watch, guarded_site, pictures, png
):
    page = learning(open_as("owner"))
    for label in ("Hat", "Glove"):
        page.get_by_label("Class", exact=True).fill(label)
        page.locator("#teach-files").set_input_files(files(pictures[:2], png))
        expect(page.locator("#teach-said")).to_contain_text(f"2 more pictures of {label}")
    page.get_by_role("button", name="Forget all").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#teach-said")).to_contain_text("of all classes")
    expect(page.locator("#teach-classes")).not_to_contain_text("Glove")
    watch.check(guarded_site)


def test_only_models_that_learn_are_taught_and_only_with_a_name(open_as, watch, guarded_site):
    page = learning(open_as("owner"))
    expect(page.get_by_role("button", name="Teach the picture above")).to_be_disabled()
    page.get_by_text("Teach files…").click()
    assert page.locator("#teach-label").evaluate("(field) => document.activeElement === field")
    page.locator("#model").select_option(NET)
    expect(page.locator("#teach")).to_be_hidden()
    watch.check(guarded_site)


def test_who_may_only_ask_is_told_so_and_may_enter_another_key(
    open_as, keys, watch, guarded_site, pictures, png
):
    page = learning(open_as("guest"))
    page.get_by_label("Class", exact=True).fill("Hat")
    page.locator("#teach-files").set_input_files(files(pictures[:1], png))
    refusal = page.locator("#teach-failure")
    expect(refusal).to_contain_text("manage")
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name=f"Unload… {NET}").click()
    page.get_by_role("button", name="Unload it").click()
    expect(page.locator("#change-failure")).to_contain_text("manage")
    page.locator("#change-failure").get_by_role("button", name="Enter an API key").click()
    page.get_by_label("Key", exact=True).fill(keys["owner"][0])
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    unload_and_load(page)
    watch.check(guarded_site)


def unload_and_load(page: Page) -> None:
    """Unload a model, and load it again, by keyboard."""
    line = page.locator("#model-table tbody tr").filter(has_text=re.compile(f"^{NET} "))
    page.get_by_role("button", name=f"Unload… {NET}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("answers nobody any more")
    page.get_by_role("button", name="Unload it").click()
    expect(page.locator("#change-said")).to_contain_text(f"{NET} 1 is unloaded")
    expect(line).to_contain_text("unloaded by request")
    button = page.get_by_role("button", name=f"Load {NET}")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#change-said")).to_contain_text(f"{NET} 1 is loaded")
    expect(line).to_contain_text("ready")


def test_a_model_is_unloaded_and_loaded_again(open_as, watch, guarded_site):
    page = open_as("owner")
    expect(page.locator("#model")).to_be_enabled()
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name=f"Unload… {NET}").click()
    page.get_by_role("button", name="Keep it").click()
    unload_and_load(page)
    assert guarded_site.api.get(f"/v2/models/{NET}/ready").status_code == 200
    watch.check(guarded_site)


def test_why_a_model_cannot_be_loaded_is_told(page, site, watch):
    watch.refused = True
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="Load broken").click()
    expect(page.locator("#change-failure")).to_contain_text("cannot load model 'broken'")
