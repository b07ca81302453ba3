"""`bicameral assess` of a cascade compares, prints and writes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from bicameral.cli.app import app
from models.cascade.assessment import ASSESSMENT_NAME
from models.measurement.streams import published_cost

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Callable[..., Path],
    write_pair: Callable[..., Path],
    write_pictures: Callable[..., None],
) -> Path:
    """Return a folder with a cascade, a reference, and pictures in class folders."""
    folder = tmp_path_factory.mktemp("assess")
    write_classifier(folder, "large", seed=7, cost={"macs": 5000})
    write_pair(folder, threshold=0.7, memory={})
    write_pictures(folder / "data", 18)
    return folder


def test_the_cascade_stands_beside_its_networks_and_the_reference(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["assess", str(folder / "pair.bicameral.json")]
    words += [str(folder / "data"), "--output", str(folder / "out")]
    assert app(words) == 0
    printed = capsys.readouterr().out
    for text in ("answers for 15 test images", "reference", "large", "trained on other data"):
        assert text in printed
    written = (folder / "out" / ASSESSMENT_NAME).read_text("utf-8")
    rows = list(csv.DictReader(written.splitlines()))
    found = {(row["system"], row["quantity"]): float(row["value"]) for row in rows}
    assert {row["system"] for row in rows} == {"cascade", "A", "B", "reference"}
    for name in ("A", "B", "reference"):
        gap = found["cascade", "accuracy"] - found[name, "accuracy"]
        assert found[name, "cascade_minus_this"] == pytest.approx(gap)
    share = found["cascade", "share_b"]
    assert 0.0 < share < 1.0
    expected = found["A", "macs"] + share * found["B", "macs"]
    assert found["cascade", "macs"] == pytest.approx(expected, abs=0.5)
    # An exact memory that keeps everything answers every repeat, as the networks would.
    assert found["cascade", "repeat_hits"] == 1.0
    assert found["cascade", "changed_answers"] == 0.0


def test_the_papers_costs_are_relative_to_its_large_network() -> None:
    costs = [[published_cost(name, share) for share in (0.0, 0.5, 1.0)] for name in
             ("reference", "pair", "pair+memory")]  # fmt: skip
    assert [[round(100 * (cost or 0), 1) for cost in row] for row in costs] == [
        [100.0, 100.0, 100.0],
        [23.1, 26.5, 25.3],
        [23.6, 18.5, 14.4],
    ]
    assert published_cost("pair", 0.25) is published_cost("a", 0.5) is None
