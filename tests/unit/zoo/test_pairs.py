"""Two classifiers against each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bicameral.cli.app import app
from bicameral.errors import ConfigError
from edge.loading import load_classifier
from models.classifiers.dataset import ImageDataset
from models.zoo.pairs import compare_pair


def test_the_difference_is_that_of_the_answers_to_the_same_images(
    quick: Callable[..., Path], stripes_dataset: ImageDataset
) -> None:
    models = [quick("group_to_group"), quick("group_to_group", 1)]
    others = [quick("dense_mlp"), quick("dense_mlp", 1)]
    told: list[tuple[int, int, str]] = []
    found = compare_pair(models, others, stripes_dataset, "test", lambda *step: told.append(step))
    test = stripes_dataset.test
    scores = [
        np.mean(load_classifier(path).predict(test.images).probabilities.argmax(1) == test.labels)
        for path in (*models, *others)
    ]
    assert found.accuracy.value == pytest.approx(np.mean(scores[:2]))
    assert found.other_accuracy.value == pytest.approx(np.mean(scores[2:]))
    assert found.differences == pytest.approx(np.subtract(scores[:2], scores[2:]), abs=1e-6)
    assert found.difference.low <= found.difference.value <= found.difference.high
    assert (found.difference.n_images, found.difference.n_seeds) == (len(test), 2)
    assert [one.batch_size for one in found.cpu] == [1, 32]
    assert all(one.cpu_us > 0 and one.ratio > 0 for one in found.cpu)
    assert told[-1][:2] == (5, 5)


def test_a_classifier_against_itself_differs_by_nothing(
    quick: Callable[..., Path], stripes: Path, stripes_dataset: ImageDataset
) -> None:
    path = quick("dense_mlp")
    found = compare_pair([path], [path], stripes_dataset, "test", lambda *_: None)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_as_many_of_the_one_as_of_the_other_are_needed(
    quick: Callable[..., Path], stripes_dataset: ImageDataset
) -> None:
    path = quick("dense_mlp")
    with pytest.raises(ConfigError, match="2 models are to be compared with 1"):
        compare_pair([path, path], [path], stripes_dataset, "test", lambda *_: None)


def test_the_command_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pair.json"
    model = "fashion_mnist_dual_branch"
    command = ["assess", "pair", model, "--against", model, "--output", str(output)]
    assert app(command, result_action="return_value") == 0
    assert "difference 0.00 [0.00, 0.00] points" in capsys.readouterr().out
    assert json.loads(output.read_text("utf-8"))["difference"]["n_images"] == 10_000
