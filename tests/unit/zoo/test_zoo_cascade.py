"""Cascades of which a network comes from the zoo: trained by one command, or from stored logits."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicameral.cli.app import main
from edge.cascade import CascadeClassifier
from edge.loading import load_classifier
from models.cascade.report import verdict_text
from models.cascade.results import CascadeEvaluation
from models.networks.architectures import ARCHITECTURES, POOL, ZOO
from models.records import read_record
from models.zoo.catalogue import CATALOGUE
from models.zoo.training import HEADS


def test_one_command_trains_a_pool_of_both_and_says_what_is_enough(
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
    assert {"group_to_group"} < {network.architecture for network in evaluation.networks}
    verdict = verdict_text(evaluation)
    assert verdict in capsys.readouterr().out
    assert verdict in (tmp_path / "report.html").read_text("utf-8")


def test_all_that_the_zoo_trains_is_in_the_catalogue_and_can_join_a_cascade() -> None:
    joining = {"network", "head", "variant"}
    trained = {name for name in (*ARCHITECTURES, *HEADS) if name in CATALOGUE}
    assert {name for name in trained if CATALOGUE[name].kind in joining} == {*ZOO, *HEADS}
    assert all(CATALOGUE[name].kind == "pool" for name in POOL if name in CATALOGUE)
