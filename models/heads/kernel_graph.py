"""A kernel head as one ONNX graph with the network whose features it uses, and its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.errors import ConfigError, DataError
from edge.loading import load_classifier
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from edge.sidecar import (
    SUFFIX,
    Sidecar,
    read_model_bytes,
    read_sidecar,
    write_sidecar,
)
from models.classifiers.export import ExportSettings, write_classifier
from models.classifiers.logits import write_network_logits, write_targets
from models.classifiers.timing import measure_cpu_us
from models.classifiers.training import image_spec
from models.data.dataset import ImageDataset, LabelledImages
from models.heads.head import HeadProgress, HeadTraining
from models.heads.kernel_head import (
    Answers,
    Choice,
    KernelHead,
    fit_heads,
    fit_steps,
    spread_over_classes,
)
from models.onnx_export import onnx_from_network

#: Training images that a head compares with: half of what can be solved. In trials more points
#: moved no accuracy by more than the noise, and file and time grow with them.
POINTS = 5_000
_TOLERANCE = 1e-4
_CHECKED_IMAGES = 500
_BATCH = 500
_LINEAR = "linear_logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedHeads:
    """The best head of every mode on the features of one network.

    Attributes:
        content: ONNX file of the network.
        base: Its sidecar.
        choices: By ascending validation loss; the first one is written.
        validation: What the network says of the validation images.
        test: What it says of the test images, which chose nothing.
    """

    content: bytes
    base: Sidecar
    choices: list[Choice]
    validation: Answers
    test: Answers


def train_kernel_head(training: HeadTraining, progress: HeadProgress) -> Path:
    """Fit a head of every mode, write the one with the smallest validation loss.

    Args:
        training: What to make.
        progress: Called before each part of the work.

    Returns:
        The sidecar; beside it stands ``logits/``.

    Raises:
        ConfigError: If the base takes other images, knows other classes, or shows no features.
        DataError: If a file is damaged, or the written graph would differ from what was fitted.
    """
    total, done = 3 + fit_steps(), count(1)

    def step(note: str) -> None:
        progress(next(done), total, note)

    fitted = fit_kernel_heads(training, step)
    step("graph and test images")
    path = write_kernel_head(training, fitted)
    step("done")
    return path


def fit_kernel_heads(
    training: HeadTraining, step: Callable[[str], None], points: int = POINTS
) -> FittedHeads:
    """Fit a head of every mode on so many training images; errors as of `train_kernel_head`."""
    torch.set_num_threads(1)
    sidecar = read_sidecar(training.base)
    _require_base(sidecar, training.dataset)
    content = read_model_bytes(training.base, sidecar)
    step("features")
    dataset = training.dataset
    rows = spread_over_classes(dataset.train.labels, points, training.seed)
    train, validation, test = (
        answers_of(content, sidecar, images)
        for images in (dataset.train.select(rows), dataset.validation, dataset.test)
    )
    return FittedHeads(
        content=content,
        base=sidecar,
        choices=fit_heads(train, validation, step),
        validation=validation,
        test=test,
    )


def write_kernel_head(training: HeadTraining, fitted: FittedHeads) -> Path:
    """Write the best head as one graph with its network; return the sidecar.

    Raises:
        DataError: If the graph would differ from what was fitted.
    """
    best = fitted.choices[0].head
    graph = joined_graph(fitted.content, best, fitted.base.calibration.temperature)
    _require_same(graph, best, fitted.validation, training)
    logits = write_classifier(
        graph,
        (("logits", "logits"), ("features", "features")),
        training.dataset,
        ExportSettings(
            output=training.output,
            name=training.name,
            architecture="kernel_head",
            seed=training.seed,
            command=training.command,
            limits=training.limits,
        ),
    )
    folder = training.output / "logits"
    write_targets(folder, training.dataset)
    write_network_logits(folder, logits)
    path = training.output / (training.name + SUFFIX)
    models = [load_classifier(path), load_classifier(training.base)]
    cpu_us, _ = measure_cpu_us(models, training.dataset.test.images)
    written = read_sidecar(path)
    cost = written.cost.model_copy(update={"cpu_us": cpu_us})
    write_sidecar(path, written.model_copy(update={"cost": cost}))
    return path


def answers_of(content: bytes, sidecar: Sidecar, images: LabelledImages) -> Answers:
    """Run a network over images and keep its features and its calibrated logits."""
    session = OnnxSession(content, name=sidecar.name)
    names = {output.meaning: output.name for output in sidecar.outputs}
    features: list[NDArray[np.float32]] = []
    logits: list[NDArray[np.float32]] = []
    for first in range(0, len(images), _BATCH):
        tensor = tensor_from_canonical(images.images[first : first + _BATCH], sidecar.input.image)
        found = session.run({sidecar.input.name: tensor})
        features.append(found[names["features"]])
        logits.append(found[names["logits"]])
    return Answers(
        features=np.concatenate(features),
        logits=(np.concatenate(logits) / sidecar.calibration.temperature).astype(np.float32),
        labels=images.labels,
    )


def joined_graph(content: bytes, head: KernelHead, temperature: float) -> bytes:
    """Put a head behind the network whose features it was fitted on.

    Args:
        content: ONNX file of the network, with outputs ``logits`` and ``features``.
        head: Fitted.
        temperature: What the network's logits are divided by.

    Returns:
        ONNX file with the network's input and the outputs ``logits`` and ``features``.

    Raises:
        DataError: If the network's graph has another version of the operator set.
    """
    base = onnx.load_from_string(content)
    _rename(base, "logits", _LINEAR)
    example = {
        "features": torch.zeros(1, head.points.shape[1]),
        _LINEAR: torch.zeros(1, head.classes),
    }
    traced = onnx_from_network(_Tempered(head, temperature).eval(), example, ["logits"])
    behind = onnx.compose.add_prefix(
        onnx.load_from_string(traced), "kernel_", rename_inputs=False, rename_outputs=False
    )
    behind.ir_version = base.ir_version
    shared = [value.name for value in behind.graph.input]
    try:
        joined = onnx.compose.merge_models(
            base,
            behind,
            io_map=[(name, name) for name in shared],
            outputs=["logits", "features"],
        )
    except ValueError as error:
        raise DataError(f"a kernel head cannot be joined to this network: {error}") from error
    _prune(joined)
    # The merger keeps the entry of each part; both are the same, or it had refused them.
    del joined.opset_import[:]
    joined.opset_import.extend(base.opset_import)
    onnx.checker.check_model(joined, full_check=True)
    return bytes(joined.SerializeToString(deterministic=True))


class _Tempered(nn.Module):
    """A head that takes the network's raw logits."""

    def __init__(self, head: KernelHead, temperature: float) -> None:
        super().__init__()
        self.head, self.temperature = head, temperature

    def forward(self, features: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return self.head(features, logits / self.temperature)  # type: ignore[no-any-return]


def _require_base(sidecar: Sidecar, dataset: ImageDataset) -> None:
    meanings = {output.meaning for output in sidecar.outputs}
    if sidecar.kind != "classifier" or not {"features", "logits"} <= meanings:
        raise ConfigError(
            f"{sidecar.name!r} is of kind {sidecar.kind!r} with outputs {sorted(meanings)}; a "
            "kernel head needs a classifier that shows its features and logits"
        )
    if sidecar.labels != dataset.labels or sidecar.input.image != image_spec(dataset):
        raise ConfigError(
            f"{sidecar.name!r} was not trained on images like those of {dataset.name!r}: its "
            "classes or its pre-processing differ; take a network that was"
        )


def _require_same(
    graph: bytes, head: KernelHead, validation: Answers, training: HeadTraining
) -> None:
    checked = training.dataset.validation.images[:_CHECKED_IMAGES]
    tensor = tensor_from_canonical(checked, image_spec(training.dataset))
    found = OnnxSession(graph, name=training.name).run({"image": tensor})["logits"]
    expected = head.logits(validation.select(np.arange(len(checked))))
    difference = float(np.abs(found - expected).max())
    if not difference <= _TOLERANCE:
        raise DataError(
            f"ONNX Runtime differs from torch by {difference:.2e} on {len(checked)} validation "
            f"images of {training.name}, allowed is {_TOLERANCE:.0e}; nothing was written"
        )


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in model.graph.output:
        if value.name == old:
            value.name = new


def _prune(model: onnx.ModelProto) -> None:
    """Drop the nodes and weights that no output needs, in place."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):  # sorted: who uses a tensor comes after who makes it
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    weights = [weight for weight in model.graph.initializer if weight.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    del model.graph.value_info[:]
