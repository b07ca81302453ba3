"""The kernel head: what it compares with, what it solves, what it chooses, what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bicameral.errors import ConfigError
from edge.loading import load_classifier
from edge.preflight.operators import read_operator_table
from edge.session import OnnxSession
from edge.sidecar import read_sidecar, write_sidecar
from models.data.dataset import ImageDataset
from models.heads.head import HeadTraining
from models.heads.kernel_graph import joined_graph, train_kernel_head
from models.heads.kernel_head import (
    MAX_POINTS,
    SOLVED_KERNELS,
    Answers,
    Choice,
    KernelHead,
    fit_heads,
    fit_steps,
    require_solvable,
    spread_over_classes,
)
from models.onnx_export import onnx_from_network

CLASSES = 3
SIZE = 6


def answers(count: int, seed: int) -> Answers:
    """Features that lie around a direction for each class, and a weak linear head."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    centres = np.kron(np.eye(CLASSES), np.ones(SIZE // CLASSES))
    features = np.abs(centres[labels] + rng.normal(0, 0.35, (count, SIZE))).astype(np.float32)
    logits = (features @ centres.T + rng.normal(0, 0.5, (count, CLASSES))).astype(np.float32)
    return Answers(features=features, logits=logits, labels=labels.astype(np.int64))


TRAIN, VALIDATION, TEST = answers(400, 0), answers(400, 1), answers(2000, 2)


@pytest.fixture(scope="module")
def choices() -> list[Choice]:
    return fit_heads(TRAIN, VALIDATION, lambda _: None)


def on_sphere(asked: Answers, points: Answers) -> np.ndarray:
    """Take the points' mean off and normalise."""
    centred = asked.features - points.features.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def of_mode(choices: list[Choice], mode: str) -> Choice:
    return next(choice for choice in choices if choice.mode == mode)


def accuracy(logits: np.ndarray) -> float:
    return float(np.mean(logits.argmax(axis=1) == TEST.labels))


def test_every_mode_is_fitted_and_the_smallest_validation_loss_comes_first(
    choices: list[Choice],
) -> None:
    assert {choice.mode for choice in choices} == {
        "majority_vote",
        "nearest_neighbour",
        "singular",
        "ridge",
        "correction",
    }
    losses = [choice.nll for choice in choices]
    assert losses == sorted(losses)


def test_progress_is_reported_as_often_as_announced() -> None:
    reported: list[str] = []
    fit_heads(TRAIN, VALIDATION, reported.append)
    assert len(reported) == fit_steps()


def test_the_majority_vote_answers_with_the_most_frequent_class(choices: list[Choice]) -> None:
    found = of_mode(choices, "majority_vote").head.logits(TEST).argmax(axis=1)
    assert set(found) == {np.bincount(TRAIN.labels).argmax()}


def test_the_nearest_neighbour_answers_with_the_class_of_the_most_similar_image(
    choices: list[Choice],
) -> None:
    points, asked = on_sphere(TRAIN, TRAIN), on_sphere(TEST, TRAIN)
    expected = TRAIN.labels[(asked @ points.T).argmax(axis=1)]
    found = of_mode(choices, "nearest_neighbour").head.logits(TEST).argmax(axis=1)
    assert np.mean(found == expected) > 0.999  # float32 may tie


def test_a_class_with_few_images_still_has_its_nearest_neighbour() -> None:
    rare = TRAIN.select(np.flatnonzero((TRAIN.labels != 2) | (np.arange(400) < 10)))
    head = KernelHead("nearest_neighbour", "", rare)
    own = rare.select(np.flatnonzero(rare.labels == 2))
    assert (head.logits(own).argmax(axis=1) == 2).all()


@pytest.mark.parametrize("kernel", SOLVED_KERNELS)
def test_the_system_is_solved_exactly(kernel: str) -> None:
    few = TRAIN.select(np.arange(60))
    head = of_mode(fit_heads(few, VALIDATION, lambda _: None), "ridge")
    points = on_sphere(few, few)
    cosines = torch.from_numpy(points @ points.T).double()
    gram = SOLVED_KERNELS[head.kernel](cosines).numpy() + head.ridge * np.eye(60)
    targets = np.eye(CLASSES)[few.labels]
    expected = np.linalg.solve(gram, targets - targets.mean(axis=0))
    np.testing.assert_allclose(head.head.coefficients.numpy(), expected, atol=1e-4)
    assert float(SOLVED_KERNELS[kernel](torch.ones(1))[0]) == pytest.approx(1.0, abs=1e-5)


def test_solving_beats_voting_and_correcting_beats_the_linear_head(choices: list[Choice]) -> None:
    linear = accuracy(TEST.logits)
    scores = {choice.mode: accuracy(choice.head.logits(TEST)) for choice in choices}
    assert scores["correction"] > linear + 0.05
    assert scores["ridge"] > scores["nearest_neighbour"] > scores["majority_vote"]


def test_a_correction_of_nothing_is_the_linear_head() -> None:
    head = KernelHead("correction", "power_0.5_3", TRAIN)
    head.coefficients = torch.zeros_like(head.coefficients)
    np.testing.assert_array_equal(head.logits(TEST), TEST.logits)


def test_more_points_than_can_be_solved_are_refused_with_the_memory_they_would_need() -> None:
    require_solvable(MAX_POINTS)
    with pytest.raises(ConfigError, match=r"60000 points .* 80\.5 GiB; at most 10000"):
        require_solvable(60_000)


def test_a_picture_that_is_a_training_picture_gets_that_ones_class(
    choices: list[Choice],
) -> None:
    head = of_mode(choices, "singular").head
    logits = head.logits(TRAIN)
    assert np.isfinite(logits).all()  # rounding takes cosines beyond 1
    assert (logits.argmax(axis=1) == TRAIN.labels).all()


def test_points_are_drawn_evenly_over_the_classes_and_all_of_a_rare_one() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 20])
    drawn = spread_over_classes(labels, 220, seed=0)
    assert np.bincount(labels[drawn]).tolist() == [100, 100, 20]
    assert len(set(drawn.tolist())) == 220
    assert not np.array_equal(drawn, spread_over_classes(labels, 220, seed=1))


class _Base(torch.nn.Module):
    """Pixels as features, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(SIZE, CLASSES)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(image.flatten(1))
        return self.head(features), features


@pytest.mark.parametrize(
    "mode", ["majority_vote", "nearest_neighbour", "singular", "ridge", "correction"]
)
def test_network_and_head_are_one_graph_of_operators_that_tensorrt_8_2_knows(
    mode: str, choices: list[Choice]
) -> None:
    torch.manual_seed(0)
    base = _Base().eval()
    content = onnx_from_network(base, {"image": torch.zeros(1, 1, 2, 3)}, ["logits", "features"])
    head = of_mode(choices, mode).head
    graph = joined_graph(content, head, temperature=1.7)
    table = read_operator_table("tensorrt-8.2-onnx-operators.tsv")
    nodes = onnx.load_from_string(graph).graph.node
    assert {node.op_type for node in nodes} <= {k for k, row in table.items() if row.supported}
    linear = [node for node in nodes if node.op_type == "Gemm"]
    assert len(linear) == (mode == "correction")  # the linear head goes where it is not needed
    images = np.random.default_rng(3).normal(size=(9, 1, 2, 3)).astype(np.float32)
    found = OnnxSession(graph, name=mode).run({"image": images})
    with torch.inference_mode():
        logits, features = base(torch.from_numpy(images))
        expected = head(features, logits / 1.7).numpy()
    np.testing.assert_allclose(found["logits"], expected, atol=1e-4)
    np.testing.assert_array_equal(found["features"], features.numpy())


def training(base: Path, dataset: ImageDataset, output: Path) -> HeadTraining:
    return HeadTraining(
        base=base,
        dataset=dataset,
        output=output,
        name="stripes_kernel_head",
        seed=0,
        command="bicameral train classifier kernel_head",
        limits="For tests.",
    )


def test_it_writes_an_ordinary_classifier(
    quick: Callable[..., Path], stripes_dataset: ImageDataset, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    path = train_kernel_head(
        training(quick("squeeze16"), stripes_dataset, tmp_path),
        lambda done, total, note: told.append((done, total)),
    )
    assert told == [(k, told[-1][1]) for k in range(1, told[-1][1] + 1)]
    sidecar = read_sidecar(path)
    assert [output.meaning for output in sidecar.outputs] == ["logits", "features"]
    assert sidecar.cost.cpu_us > 0
    found = load_classifier(path).predict(stripes_dataset.test.images).probabilities
    claimed = next(claim.value for claim in sidecar.claims if claim.metric == "accuracy")
    assert np.mean(found.argmax(axis=1) == stripes_dataset.test.labels) == pytest.approx(
        claimed, abs=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "b", "c")}, "classes or its pre-processing differ"),
        ({"outputs": "logits"}, "needs a classifier that shows its features"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    changes: dict[str, object],
    message: str,
    quick: Callable[..., Path],
    stripes_dataset: ImageDataset,
    tmp_path: Path,
) -> None:
    base = quick("squeeze16")
    sidecar = read_sidecar(base)
    if "outputs" in changes:
        changes = {"outputs": tuple(o for o in sidecar.outputs if o.meaning == "logits")}
    other = tmp_path / base.name
    other.with_name(sidecar.files[0].path).write_bytes(
        base.with_name(sidecar.files[0].path).read_bytes()
    )
    write_sidecar(other, sidecar.model_copy(update=changes))
    with pytest.raises(ConfigError, match=message):
        train_kernel_head(training(other, stripes_dataset, tmp_path / "out"), lambda *_: None)
    assert not (tmp_path / "out").exists()
