"""Cascades of which a network comes from the zoo: trained by one command, or from stored logits."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicameral.cli.app import main
from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from models.cascade.results import CascadeEvaluation
from models.networks.architectures import ARCHITECTURES, POOL, ZOO
from models.records import read_record
from models.zoo.catalogue import CATALOGUE, newcomers
from models.zoo.training import HEADS


def test_one_command_trains_a_pool_of_both_and_says_which_pair_is_better(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train", "cascade", str(stripes), "--output", str(tmp_path),
        "--networks", "shuffle16", "residual8", "group_to_group",
        "--references", "wide_residual32", "--epochs", "1", "--jobs", "1", "--max-cost", "1000",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    [model] = (tmp_path / "model").glob("*_cascade.bicameral.json")
    assert isinstance(load_classifier(model, memory="none"), CascadeClassifier)
    path = tmp_path / "evaluation.json"
    evaluation = read_record(path, CascadeEvaluation, what="evaluation", remedy="")
    [note] = [note for note in evaluation.notes if "network of the zoo" in note]
    assert note.split(" the best")[0] in " ".join(capsys.readouterr().out.split())
    assert "a network of the zoo" in (tmp_path / "report.html").read_text("utf-8")


def test_all_that_the_zoo_trains_is_in_the_catalogue_and_can_join_a_cascade() -> None:
    assert set(ZOO) | set(HEADS) == set(newcomers([*ARCHITECTURES, *HEADS]))
    assert all(CATALOGUE[name].kind == "pool" for name in POOL if name in CATALOGUE)
