"""The cascade's report: one file that says what the record says, and nothing that it does not."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.page import Block
from bicameral.statistics import Resampling
from bicameral.tables import percent, points
from models.cascade.evaluation import evaluate_cascade
from models.cascade.plan import EvaluationSettings
from models.cascade.report import REPORT_NAME, cascade_page, verdict_text, write_results
from models.cascade.report_tables import (
    choice_table,
    comparison_table,
    confusion_table,
    pool_table,
)
from models.cascade.results import CascadeEvaluation
from models.cascade.search import MaxCost
from models.cascade.thumbnails import MAX_SIDE, MAX_THUMBNAILS, gallery
from models.classifiers.logits import PoolLogits
from models.data.dataset import LabelledImages
from models.host import Provenance

#: As folders may be called; the last name is no Unicode.
LABELS = ("<script>alert(1)</script>", "\"quoted\" & 'named'", "{{ labels }} $x_", "犬\udcffd")

SETTINGS = EvaluationSettings(
    references=("large", "huge"), splits=4, resampling=Resampling(replicates=100)
)

CONTEXT = Provenance(
    command="bicameral train cascade <folder>",
    created_at="2026-01-02T03:04:05+00:00",
    host="a processor",
    versions={"numpy": "2.0"},
)


@pytest.fixture(scope="module")
def evaluation(pool: PoolLogits) -> CascadeEvaluation:
    return evaluate_cascade(replace(pool, labels=LABELS), SETTINGS)


@pytest.fixture(scope="module")
def images(pool: PoolLogits) -> LabelledImages:
    pixels = np.random.default_rng(0).integers(0, 256, (len(pool.test_labels), 6, 5, 3), np.uint8)
    return LabelledImages(images=pixels, labels=pool.test_labels)


@pytest.fixture(scope="module")
def report(
    evaluation: CascadeEvaluation,
    images: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return write_results(tmp_path_factory.mktemp("report"), evaluation, images, CONTEXT)


class Page(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(content)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


def test_class_names_and_the_command_are_shown_as_text_whatever_they_are(report: Path) -> None:
    page = Page(report.read_text("utf-8"))
    assert "script" not in {tag for tag, _ in page.tags}
    for label in (*LABELS[:-1], "犬?d"):
        assert label in page.text
    assert CONTEXT.command in page.text


def test_the_page_needs_nothing_but_itself(report: Path) -> None:
    content = report.read_text("utf-8")
    page = Page(content)
    places = {f"#{name}" for name in page.attributes("id")}
    assert {value for value in page.attributes("href") if value not in places} == set()
    assert all(value.startswith("data:image/png;base64,") for value in page.attributes("src"))
    assert not re.search(r"url\((?!#)|@import|<link|<iframe", content)


def test_every_picture_has_a_title(report: Path) -> None:
    page = Page(report.read_text("utf-8"))
    pictures = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(pictures) >= 12
    assert sum(tag == "title" for tag, _ in page.tags) == len(pictures) + 1


def test_the_headline_says_what_the_record_says(
    report: Path, evaluation: CascadeEvaluation
) -> None:
    text = Page(report.read_text("utf-8")).text
    choice = next(c for c in evaluation.choices if c.name == evaluation.detail.choice)
    assert choice.system is not None
    assert choice.test_accuracy is not None
    assert f"{verdict_text(evaluation)} on made up" in text
    interval = choice.test_accuracy
    assert f"{percent(interval.value)} % accuracy [{percent(interval.low)}, " in text
    for note in evaluation.notes:
        assert note in text
    for comparison in choice.comparisons:
        difference = comparison.accuracy_difference
        assert f"{points(difference.value)} [{points(difference.low)}, " in text


def test_a_comparison_is_called_by_its_interval(evaluation: CascadeEvaluation) -> None:
    choice = next(c for c in evaluation.choices if c.name == evaluation.detail.choice)
    table = comparison_table(evaluation, choice)
    for comparison, row in zip(choice.comparisons, table.rows, strict=True):
        difference = comparison.accuracy_difference
        expected = (
            "more accurate"
            if difference.low > 0
            else "less accurate"
            if difference.high < 0
            else "no difference shown"
        )
        assert row.cells[2].text == expected


def test_every_network_has_its_row(evaluation: CascadeEvaluation) -> None:
    table = pool_table(evaluation)
    for network, row in zip(evaluation.networks, table.rows, strict=True):
        texts = [cell.text for cell in row.cells]
        assert texts[0] == network.architecture
        assert percent(network.test_accuracy.mean) in texts
        assert texts[-1] == "2"
    assert len(table.columns) == len(table.rows[0].cells)


def test_a_choice_that_cannot_be_met_says_why(pool: PoolLogits, images: LabelledImages) -> None:
    evaluation = evaluate_cascade(
        pool, replace(SETTINGS, requirement=MaxCost(cost=1_000.0), reference_tolerance=0.0)
    )
    unmet = [choice for choice in evaluation.choices if choice.unmet is not None]
    table = choice_table(evaluation)
    assert {len(row.cells) for row in table.rows} == {len(table.columns)}
    for choice in unmet:
        assert any(choice.unmet in cell.text for row in table.rows for cell in row.cells)
    assert table.rows[0].marked
    assert "requested" in cascade_page(evaluation, images, CONTEXT).lead


def test_unmeasured_cpu_time_is_a_dash_and_no_zero(
    pool: PoolLogits, images: LabelledImages, tmp_path: Path
) -> None:
    networks = tuple(replace(network, cpu_us=0.0) for network in pool.networks)
    evaluation = evaluate_cascade(replace(pool, networks=networks), SETTINGS)
    write_results(tmp_path, evaluation, images, CONTEXT)
    text = Page((tmp_path / REPORT_NAME).read_text("utf-8")).text
    assert "CPU time was not measured for every network" in text
    assert "Accuracy over CPU time" not in text
    assert "0.0 µs" not in text


def test_a_choice_by_cpu_time_is_plotted_over_it(
    pool: PoolLogits, images: LabelledImages, tmp_path: Path
) -> None:
    evaluation = evaluate_cascade(pool, replace(SETTINGS, cost="cpu_us"))
    write_results(tmp_path, evaluation, images, CONTEXT)
    page = Page((tmp_path / REPORT_NAME).read_text("utf-8"))
    assert "Accuracy over CPU time, test images" in page.text


def thumbnails(blocks: list[Block]) -> list[tuple[NDArray[np.uint8], str]]:
    """Return the pictures of a gallery, and the text beside each."""
    found = []
    for part in str(blocks[-1]).split('<div class="thumbnail">')[1:]:
        data = base64.b64decode(part.partition("base64,")[2].partition('"')[0])
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        found.append((np.asarray(pixels, np.uint8), Page(part).text))
    return found


def test_thumbnails_are_the_images_that_changed(
    evaluation: CascadeEvaluation, images: LabelledImages
) -> None:
    changes = evaluation.detail.changes
    for changed in (changes.rescued_images, changes.broken_images):
        blocks = gallery("Changed", changed, LABELS, images)
        assert str(blocks[1]).startswith(f"{len(changed)} images")
        shown = thumbnails(blocks)
        assert len(shown) == min(len(changed), MAX_THUMBNAILS)
        for pixels, text in shown:
            [image] = [one for one in changed if np.array_equal(images.images[one.index], pixels)]
            assert text.startswith(
                f"{LABELS[image.label]} A: {LABELS[image.a]} {image.score_a:.2f} "
                f"B: {LABELS[image.b]}"
            )


@pytest.mark.parametrize("channels", [1, 3])
def test_large_images_are_reduced(evaluation: CascadeEvaluation, channels: int) -> None:
    labels = np.zeros(evaluation.n_test, np.int64)
    pixels = np.full((len(labels), 2 * MAX_SIDE, MAX_SIDE, channels), 77, np.uint8)
    images = LabelledImages(images=pixels, labels=labels)
    changed = evaluation.detail.changes.rescued_images
    shown, _ = thumbnails(gallery("Rescued", changed, LABELS, images))[0]
    assert shown.shape[:2] == (MAX_SIDE, MAX_SIDE // 2)
    assert (shown == 77).all()


@pytest.mark.parametrize("change", ["fewer", "other labels"])
def test_images_of_another_data_set_are_refused_and_nothing_is_written(
    evaluation: CascadeEvaluation, images: LabelledImages, tmp_path: Path, change: str
) -> None:
    others = (
        images.select(np.arange(10))
        if change == "fewer"
        else LabelledImages(images=images.images, labels=(images.labels + 1) % len(LABELS))
    )
    path = tmp_path / REPORT_NAME
    path.write_text("the last report")
    with pytest.raises(DataError, match="not the 500 test images of 'made up'"):
        write_results(tmp_path, evaluation, others, CONTEXT)
    assert path.read_text() == "the last report"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_with_many_classes_confusions_are_listed(evaluation: CascadeEvaluation) -> None:
    size = 30
    counts = np.zeros((size, size), int)
    counts[3, 7], counts[8, 2] = 11, 5
    confusion = tuple(map(tuple, counts.tolist()))
    parts = tuple(replace(part, confusion=confusion) for part in evaluation.detail.parts)
    many = replace(
        evaluation,
        labels=tuple(f"class {k}" for k in range(size)),
        detail=replace(evaluation.detail, parts=parts),
    )
    table = confusion_table(many, many.detail.parts[0])
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["class 3", "class 7", "11"],
        ["class 8", "class 2", "5"],
    ]


def test_the_page_opens_in_a_browser(report: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "the report is tested in Chromium: apt-get install chromium"
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    opened = subprocess.run(
        [browser, *flags, f"--user-data-dir={tmp_path}", "--virtual-time-budget=2000",
         "--enable-logging=stderr", "--dump-dom", report.as_uri()],
        capture_output=True, text=True, timeout=280, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in opened.stderr  # nothing was refused, nothing failed
    # The browser understands the page as it was written: no element was moved, closed or dropped.
    written = Counter(tag for tag, _ in Page(report.read_text("utf-8")).tags)
    understood = Counter(tag for tag, _ in Page(opened.stdout).tags)
    assert understood == written
