"""The panel in which a person asks a model: every way in, and answers that equal the API's."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import cv2
import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Page, expect

from edge.shipped import weights_folder
from server.api_keys import new_api_key


def shows(page: Page, answer: dict, shown: int = 5) -> None:
    """The page shows what the API answers."""
    result = answer["results"][0]
    expect(page.locator("#verdict-label")).to_have_text(result["label"])
    expect(page.locator("#verdict-note")).to_contain_text(
        f"{100 * result['confidence']:.1f} % sure"
    )
    expected = [f"{one['label']}{100 * one['probability']:.1f} %" for one in result["top"][:shown]]
    expect(page.locator("#bars li")).to_have_text(expected)


def answered_by(page: Page, stage: str) -> None:
    expect(page.locator("#stages [data-answered]")).to_have_attribute("data-stage", stage)
    expect(page.locator("#answer-flag")).to_have_attribute("data-stage", stage)


def test_the_models_that_classify_pictures_are_offered(page, site):
    offered = page.locator("#model option").all_text_contents()
    cards = site.api.get("/v1/models").json()
    assert sorted(offered) == sorted(card["name"] for card in cards if card["image"])
    assert "caril_a" not in offered
    assert offered[0] == "fashion_mnist_cascade"
    about = page.locator("#model-about").text_content()
    cascade = next(card for card in cards if card["name"] == offered[0])
    assert cascade["limits"] in about
    accuracy = next(claim for claim in cascade["claims"] if claim["metric"] == "accuracy")
    assert f"{100 * accuracy['value']:.1f} %" in about


def test_a_sample_gets_the_answer_that_the_api_gives(page, site):
    samples = site.api.get("/page/samples/samples.json").json()
    expect(page.locator(".sample")).to_have_count(len(samples))
    for sample in samples[:3]:
        picture = site.api.get(f"/page/samples/{sample['file']}").content
        page.get_by_role("button", name=f"test image {sample['index']}", exact=False).click()
        shows(page, site.classify(picture))
        expect(page.locator("#verdict-note")).to_contain_text("the test image is labelled")


def pixels_seen(page: Page) -> np.ndarray:
    """Return the picture below "What the model sees" (28, 28) uint8."""
    expect(page.locator("#canonical")).to_be_visible()
    values = page.locator("#canonical").evaluate(
        """async (image) => {
            await image.decode();
            const canvas = document.createElement("canvas");
            canvas.width = image.naturalWidth;
            canvas.height = image.naturalHeight;
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
            return [...data].filter((_, place) => place % 4 === 0);
        }"""
    )
    return np.array(values, np.uint8).reshape(28, 28)


def test_a_chosen_file_is_answered_and_shown_as_the_model_sees_it(page, site, upload, png):
    picture = png(np.random.default_rng(7).integers(0, 256, (90, 120, 3), np.uint8))
    upload(page, picture)
    shows(page, site.classify(picture))
    own = site.api.post("/v1/canonical/fashion_mnist_cascade", content=picture).content
    expected = cv2.imdecode(np.frombuffer(own, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(pixels_seen(page), expected)
    expect(page.locator("#canonical-text")).to_have_text("28 × 28, grey")


def test_a_negative_is_made_before_it_is_sent(page, site, upload, clothes, png):
    upload(page, png(clothes[3]))
    shows(page, site.classify(png(clothes[3])))
    new_picture(page, lambda: page.get_by_label("Negative").check())
    np.testing.assert_array_equal(pixels_seen(page), 255 - clothes[3])
    shows(page, site.classify(png(255 - clothes[3])))


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_pictures_are_taken_by_drag_and_drop_and_from_the_clipboard(page, site, clothes, way, png):
    picture = png(clothes[20])
    page.evaluate(
        """([way, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "shirt.png", {type: "image/png"}));
            const event = way === "drop"
                ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
                : new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
            document.getElementById("drop").dispatchEvent(event);
        }""",
        [way, list(picture)],
    )
    shows(page, site.classify(picture))
    expect(page.locator("#preview")).to_be_visible()


def test_a_picture_from_the_camera_is_answered(page):
    page.get_by_text("Camera", exact=True).click()
    page.get_by_role("button", name="Switch on").click()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#canonical")).to_be_visible()
    expect(page.locator("#bars li")).to_have_count(5)
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("The camera is off.")).to_be_visible()


#: Lets a promise of an object's method wait until `release()`.
HOLD = """([name, method]) => {
  const owner = name === "video" ? document.getElementById("viewfinder") : navigator.mediaDevices;
  const original = owner[method].bind(owner);
  const held = new Promise((resolve) => (window.release = resolve));
  owner[method] = async (...words) => {
    window.stream = name === "video" ? owner.srcObject : await original(...words);
    await held;
    return name === "video" ? original() : window.stream;
  };
}"""


def test_no_picture_is_taken_before_the_camera_shows_one(page):
    page.evaluate(HOLD, ["video", "play"])
    page.get_by_text("Camera", exact=True).click()
    page.get_by_role("button", name="Switch on").click()
    page.wait_for_function("() => window.stream")
    shutter = page.get_by_role("button", name="Take the picture")
    expect(shutter).to_be_disabled()
    page.evaluate("() => window.release()")
    expect(shutter).to_be_enabled()


def test_a_camera_that_comes_when_nobody_wants_it_any_more_is_switched_off(page):
    page.evaluate(HOLD, ["devices", "getUserMedia"])
    page.get_by_text("Camera", exact=True).click()
    page.get_by_role("button", name="Switch on").click()
    page.wait_for_function("() => window.stream")
    page.get_by_text("File", exact=True).click()
    page.evaluate("() => window.release()")
    page.wait_for_function(
        "() => window.stream.getTracks().every((one) => one.readyState === 'ended')"
    )
    page.get_by_text("Camera", exact=True).click()
    expect(page.get_by_text("The camera is off.")).to_be_visible()


def test_it_tells_which_part_of_the_cascade_answered(
    page, site, upload, clothes, hard_picture, png
):
    page.get_by_label("Remember nothing").check()
    upload(page, hard_picture)
    answered_by(page, "b")
    shows(page, site.classify(hard_picture))
    expect(page.locator("#stages-note")).to_contain_text("B was asked too")
    sure = next(
        picture
        for picture in map(png, clothes[300:])
        if (found := site.classify(picture)["results"][0])["confidence"] > 0.95
        and found["trace"]["stage"] == "a"
    )
    upload(page, sure)
    answered_by(page, "a")
    expect(page.locator("#stages [data-stage=b]")).to_contain_text("not asked")
    expect(page.locator("#fact-compute")).to_have_text(re.compile(r"\d (µs|ms|s)$"))
    upload(page, sure)
    answered_by(page, "a")  # nothing was remembered
    page.get_by_label("Remember nothing").uncheck()
    answered_by(page, "a")
    upload(page, sure)
    answered_by(page, "memory")
    shows(page, site.classify(sure))
    expect(page.locator("#answer-flag")).to_have_text("Remembered")


def test_an_answer_that_is_not_sure_enough_is_withheld(page, upload, hard_picture):
    upload(page, hard_picture)
    expect(page.locator("#bars li")).to_have_count(5)
    page.get_by_label("Abstain below").fill("99")
    expect(page.locator("#verdict-label")).to_have_text("Not sure enough")
    expect(page.locator("#verdict-note")).to_contain_text("you asked for 99 %")
    page.get_by_label("Classes shown").fill("10")
    expect(page.locator("#bars li")).to_have_count(10)
    total = sum(
        float(line.removesuffix(" %")) for line in page.locator("#bars .number").all_text_contents()
    )
    assert total == pytest.approx(100.0, abs=0.6)


def test_a_single_network_has_no_second_one_and_no_memory(page, site, upload, clothes, png):
    model = page.locator("#model option").all_text_contents()[-1]
    page.get_by_label("Model", exact=True).select_option(model)
    upload(page, png(clothes[2]))
    shows(page, site.classify(png(clothes[2]), model))
    expect(page.locator("#stages")).to_contain_text("One network")
    expect(page.locator("#answer-flag")).to_be_hidden()


def test_the_curl_command_is_the_same_request(page, site, upload, clothes, tmp_path, png):
    upload(page, png(clothes[5]))
    page.get_by_label("Abstain below").fill("20")
    page.get_by_label("Remember nothing").check()
    page.get_by_text("The same with curl").click()
    expect(page.locator("#curl")).to_contain_text("no_store=true")
    words = shlex.split(page.locator("#curl").text_content().replace("\\\n", ""))
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save this picture").click()
    file = words[words.index("--data-binary") + 1].removeprefix("@")
    assert saved.value.suggested_filename == file
    saved.value.save_as(tmp_path / file)
    url = urlsplit(words[-1])
    assert dict(parse_qsl(url.query)) == {"top_k": "5", "min_confidence": "0.2", "no_store": "true"}
    own = httpx.post(words[-1], content=(tmp_path / file).read_bytes()).json()
    page.get_by_text("The answer as JSON").click()
    expect(page.locator("#json")).to_contain_text('"model": "fashion_mnist_cascade"')
    shown = page.evaluate("() => JSON.parse(document.getElementById('json').textContent)")
    assert shown["results"][0]["top"] == own["results"][0]["top"]


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draw a line with the mouse; places are shares of the canvas."""
    box = page.locator("#sketch").bounding_box()
    for index, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if index == 0:
            page.mouse.down()
    page.mouse.up()


def new_picture(page: Page, act: Callable[[], object]) -> None:
    """Do something and wait until the model has seen another picture."""
    before = page.locator("#canonical").get_attribute("src") or ""
    act()
    expect(page.locator("#canonical")).not_to_have_attribute("src", before)


def test_a_drawing_fills_the_frame_as_the_training_pictures_do(page, site):
    page.get_by_text("Draw", exact=True).click()
    draw(page, (0.4, 0.3), (0.4, 0.6), (0.5, 0.6))
    seen = pixels_seen(page)
    rows, columns = np.nonzero(seen > 40)
    assert (rows.min(), rows.max()) == (0, 27)
    assert 0 < columns.min() < columns.max() < 27
    assert seen[0, 0] == 0, "the ground is black"
    expect(page.locator("#bars li")).to_have_count(5)

    new_picture(page, lambda: page.get_by_label("Fill the frame").uncheck())
    rows, _ = np.nonzero(pixels_seen(page) > 40)
    assert 6 <= rows.min() < rows.max() <= 20

    new_picture(page, lambda: draw_and_fill(page))
    assert (pixels_seen(page)[20:26, 20:26] > 150).all()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Clear")).to_be_enabled()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#verdict-label")).to_have_text("Show me a picture")
    expect(page.locator("#canonical")).to_be_hidden()


def test_models_of_dark_things_on_light_get_drawings_like_that(
    start_site, tmp_path, write_classifier, open_page, watch
):
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "light", image={"invert": True})
    site = start_site(folder)
    page = open_page(at=site)
    expect(page.locator("#model")).to_have_value("light")
    page.get_by_text("Draw", exact=True).click()
    draw(page, (0.5, 0.2), (0.5, 0.8))
    new_picture(page, lambda: page.get_by_label("Fill the frame").uncheck())
    expect(page.locator("#sketch")).to_have_css("filter", "invert(1)")
    page.get_by_text("The same with curl").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save this picture").click()
    sent = cv2.imread(str(saved.value.path()), cv2.IMREAD_GRAYSCALE)
    assert (sent[0, 0], sent[140, 10]) == (255, 255), "the ground is white"
    assert sent[140, 140] < 60
    watch.check(site)


def draw_and_fill(page: Page) -> None:
    page.get_by_text("Fill", exact=True).click()
    draw(page, (0.85, 0.85))


def test_all_of_it_works_by_keyboard_alone(page, site):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(4):  # key, colours, tabs, model
        page.keyboard.press("Tab")
    expect(page.locator("#model")).to_be_focused()
    page.keyboard.press("Tab")  # the sources
    page.keyboard.press("ArrowRight")
    expect(page.locator("#source-draw")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("#sketch")).to_be_focused()
    for key in ["ArrowUp"] * 5 + [" "] + ["ArrowDown"] * 10 + ["ArrowRight"] * 6:
        page.keyboard.press(key)
    page.keyboard.press(" ")
    announced = page.locator("#announcement")
    expect(announced).to_have_text(re.compile(r"^.+, \d+ % sure, answered by (network|the memory)"))
    first = announced.text_content()
    page.keyboard.press("Delete")
    expect(announced).to_have_text("")
    page.keyboard.press("z")
    expect(announced).to_have_text(re.compile(f"^{first.split(',')[0]},"))

    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.className") == "sample":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#verdict-note")).to_contain_text("the test image is labelled")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus is seen"


def test_what_the_server_refuses_is_told_in_its_words(page, site, watch, upload):
    watch.refused = True
    upload(page, b"this is no picture")
    body = b"this is no picture"
    refusal = site.api.post("/v1/classify/fashion_mnist_cascade", content=body)
    assert refusal.status_code == 415
    expect(page.get_by_role("alert")).to_contain_text(refusal.json()["error"])
    expect(page.locator("#verdict-label")).to_have_text("Show me a picture")


@pytest.fixture
def small_folder(tmp_path: Path, write_classifier) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_classifier(folder, "net")
    return folder


def test_a_key_is_asked_for_and_kept_in_the_tab_only(
    start_site, small_folder, open_page, watch, tmp_path, upload, png
):
    watch.refused = True
    key, table = new_api_key("somebody", frozenset({"infer"}))
    (tmp_path / "keys.toml").write_text(table)
    site = start_site(small_folder, "--api-keys", str(tmp_path / "keys.toml"))
    page = open_page(at=site)
    expect(page.get_by_role("alert")).to_contain_text("this needs an API key")
    page.get_by_role("button", name="Enter an API key").click()
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#model")).to_have_value("net")
    expect(page.get_by_role("button", name="API key: set")).to_be_visible()
    upload(page, png(np.zeros((8, 8), np.uint8)))
    expect(page.locator("#bars li").first).to_be_visible()
    page.get_by_text("The same with curl").click()
    expect(page.locator("#curl")).to_contain_text("Authorization: Bearer $BICAMERAL_KEY")
    assert key not in page.content()
    assert key not in page.evaluate("() => JSON.stringify(localStorage)")
    assert not any(key in url for url in watch.requests)
    page.get_by_role("button", name="API key: set").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("alert")).to_contain_text("this needs an API key")
    watch.check(site)


def test_a_graph_without_a_sidecar_tells_what_it_takes(start_site, small_folder, open_page, watch):
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")
    ]
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8, doc_string="A <ramp>")
    (small_folder / "ramp.onnx").write_bytes(model.SerializeToString())
    site = start_site(small_folder)
    page = open_page(at=site)
    expect(page.locator("#model")).to_have_value("net")
    page.get_by_text("Models that take tensors").click()
    shown = page.locator("#tensor-list li")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("ramp A <ramp>")
    expect(shown).to_contain_text("takes x FP32 [any, 3]")
    expect(shown).to_contain_text("gives y FP32 [any, 3]")
    expect(shown).to_contain_text(f"{site.url}v2/models/ramp/infer")
    watch.check(site)


def test_a_server_that_went_away_is_told_and_found_again(
    start_site, small_folder, open_page, watch
):
    watch.refused = True
    site = start_site(small_folder)
    page = open_page(at=site)
    state = page.locator("#server-state")
    expect(state).to_have_attribute("data-state", "ready")
    site.server.end()
    expect(state).to_have_text("The server cannot be reached")
    again = start_site(small_folder, port=urlsplit(site.url).port)
    expect(state).to_have_attribute("data-state", "ready")
    expect(page.locator("#model")).to_have_value("net")
    watch.check(again)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_they_are_chosen(open_page, site, watch, scheme):
    def brightness() -> int:
        text = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", text)[:3]))

    page = open_page(color_scheme=scheme)
    button = page.locator("#theme-button")
    assert (brightness() > 380) == (scheme == "light")
    button.click()
    assert brightness() > 380
    button.click()
    expect(button).to_have_accessible_name("Colours: dark")
    assert brightness() < 380
    page.reload()
    expect(button).to_have_accessible_name("Colours: dark")
    assert brightness() < 380
    watch.check(site)


def test_on_a_phone_nothing_is_wider_than_the_screen(open_page, site, watch):
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for index in (0, 5):
        page.locator(".sample").nth(index).tap()
        expect(page.locator("#bars li")).to_have_count(5)
    page.evaluate("() => scrollTo(0, 0)")
    expect(page.locator("#glance")).to_be_visible()
    page.locator("#glance").tap()
    expect(page.locator("#verdict")).to_be_in_viewport()
    expect(page.locator("#glance")).to_be_hidden()
    page.get_by_text("The same with curl").tap()
    page.get_by_text("The answer as JSON").tap()
    for panel in ("try", "live", "drive"):
        page.locator(f"#tab-{panel}").tap()
        expect(page.locator(f"#panel-{panel}")).to_be_visible()
        assert page.evaluate("() => document.documentElement.scrollWidth") == 360
    watch.check(site)


def test_of_an_early_exit_it_tells_after_which_block_it_stopped(
    open_page, start_site, upload, clothes, tmp_path, png
):
    folder = tmp_path / "models"
    folder.mkdir()
    for path in weights_folder().glob("fashion_mnist_noprop*"):
        shutil.copy(path, folder)
    site = start_site(folder)
    page = open_page(at=site)
    model = "fashion_mnist_noprop_early_exit"
    expect(page.locator("#model")).to_have_value(model)
    expect(page.locator("#stages-note")).to_contain_text("The next block runs while")
    answers = {
        site.classify(picture, model)["results"][0]["trace"]["stage"]: picture
        for picture in map(png, clothes[:100])
    }
    assert len(answers) > 1
    for stage in ("block_1", max(answers)):
        upload(page, answers[stage])
        answered_by(page, stage)
        shows(page, site.classify(answers[stage], model))
        number = stage.removeprefix("block_")
        expect(page.locator("#stages")).to_contain_text(f"Stopped after block {number}")
        expect(page.locator("#answer-flag")).to_have_text(f"Block {number}")
