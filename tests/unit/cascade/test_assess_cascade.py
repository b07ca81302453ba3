"""`bicameral assess cascade` measures, prints and writes; what it writes is read back whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.cli.app import app
from bicameral.errors import ConfigError, DataError
from edge.loading import load_classifier, member_sha256
from edge.sidecar import read_sidecar
from models.cascade.streams_results import (
    STREAMS_NAME,
    StreamMeasurements,
    published_cost,
    read_measurements,
    write_measurements,
)

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Callable[..., Path],
    write_cascade: Callable[..., Path],
) -> Path:
    """Return a folder with a cascade, a reference, and pictures in class folders."""
    folder = tmp_path_factory.mktemp("assess")
    members = []
    for name, seed in (("a", 3), ("b", 5)):
        path = write_classifier(folder, name, seed=seed)
        members.append((name, member_sha256(read_sidecar(path))))
    write_classifier(folder, "large", seed=7, cost={"macs": 5000})
    pair = write_cascade(folder, "pair", *members)
    rng = np.random.default_rng(1)
    for label in load_classifier(pair).info.labels:
        (folder / "data" / label).mkdir(parents=True)
        for index in range(18):
            picture = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            cv2.imwrite(str(folder / "data" / label / f"{index}.png"), picture)
    return folder


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    words = ["assess", "cascade", str(folder / "pair.bicameral.json")]
    words += ["--data", str(folder / "data"), "--output", str(folder / "out")]
    words += ["--timed", "3", "--rounds", "2", "--seed", "5"]
    assert app(words) == 0
    return folder / "out" / STREAMS_NAME


def test_the_file_says_what_was_measured_with_what(written: Path, folder: Path) -> None:
    measured = read_measurements(written)
    setup = measured.setup
    assert setup is not None
    assert (setup.model, setup.reference) == ("pair", "large")
    assert (setup.n_images, setup.seed, setup.rounds) == (15, 5, 2)
    cascade = load_classifier(folder / "pair.bicameral.json")
    assert setup.model_fingerprint == cascade.info.fingerprint
    assert setup.host
    assert {"bicameral", "numpy", "onnxruntime", "opencv", "python"} == set(setup.versions)


def test_streams_keys_costs_and_the_gate_are_all_there(written: Path) -> None:
    measured = read_measurements(written)
    assert len({record.stream for record in measured.streams}) == 7
    assert {record.stream: record.n for record in measured.memory} == {
        "distinct test images": 15,
        "distinct training and validation images": 75,
    }
    assert [cost.batch_size for cost in measured.gating] == [1, 7]
    assert all(cost.classifier_us for cost in measured.memory_costs)
    notes = " ".join(measured.notes)
    assert "describes no memory" in notes
    assert "trained on other data" in notes


def test_measurements_are_read_back_as_they_were_written(written: Path, tmp_path: Path) -> None:
    measured = read_measurements(written)
    write_measurements(tmp_path / "again.json", measured)
    assert read_measurements(tmp_path / "again.json") == measured
    assert (tmp_path / "again.json").read_bytes() == written.read_bytes()


def test_what_is_no_measurement_is_refused(written: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record of streams"):
        read_measurements(tmp_path / "absent.json")
    content = written.read_text()
    damaged = tmp_path / "damaged.json"
    for text in (content[:-100], json.dumps(json.loads(content) | {"schema": 2})):
        damaged.write_text(text)
        with pytest.raises(DataError, match=r"damaged\.json is no record of streams"):
            read_measurements(damaged)


def test_every_table_is_printed(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bicameral.cli.stream_tables import print_measurements

    print_measurements(read_measurements(written))
    printed = capsys.readouterr().out
    for words in ("100 % interleaved", "pair+paper memory", "shift by 1 pixel", "network A's"):
        assert words in printed
    # The paper's costs of the pair at 0, 50 and 100 % repeats, and with its memory.
    for figure in ("23.1", "26.5", "25.3", "23.6", "18.5", "14.4"):
        assert f" {figure} " in printed
    print_measurements(StreamMeasurements())


def test_the_papers_costs_are_relative_to_its_large_network() -> None:
    costs = [[published_cost(name, share) for share in (0.0, 0.5, 1.0)] for name in
             ("reference", "pair", "pair+memory")]  # fmt: skip
    assert [[round(100 * (cost or 0), 1) for cost in row] for row in costs] == [
        [100.0, 100.0, 100.0],
        [23.1, 26.5, 25.3],
        [23.6, 18.5, 14.4],
    ]
    assert published_cost("pair", 0.25) is published_cost("a", 0.5) is None


@pytest.mark.parametrize(("flag", "least"), [("--images", 2), ("--timed", 1), ("--rounds", 1)])
def test_numbers_that_are_too_small_are_refused(flag: str, least: int) -> None:
    with pytest.raises(ConfigError, match=f"{flag} is 0, expected at least {least}"):
        app(["assess", "cascade", "absent", flag, "0"])
