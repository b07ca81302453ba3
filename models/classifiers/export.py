"""From a trained classifier to `NAME.onnx`, its sidecar and its logits, checked against torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from bicameral.statistics import paired_difference, share
from edge.learning.state import read_state
from edge.masked_classifier import OBSERVED
from edge.preprocessing import tensor_from_canonical
from edge.probabilities import softmax
from edge.session import OnnxSession
from edge.sidecar import (
    SUFFIX,
    Calibration,
    Claim,
    Cost,
    ImageSpec,
    InputSpec,
    ModelFile,
    OutputMeaning,
    OutputSpec,
    Sidecar,
    TaskSpec,
    TrainingData,
    TrainingPrecision,
    TrainingRecord,
    read_described_bytes,
    read_model_bytes,
    read_sidecar,
    write_sidecar,
)
from models.calibration import calibration_errors, expected_calibration_error, fit_temperature
from models.classifiers.distillation import predict_logits
from models.classifiers.logits import NetworkLogits
from models.classifiers.stages import stage_file_name, write_stages
from models.classifiers.training import image_spec
from models.data.corruptions import mirrored
from models.data.dataset import ImageDataset
from models.host import host_name
from models.networks.capabilities import AnyTime, ExtraOutputs, Reparameterised
from models.onnx_export import (
    count_cost,
    describe_graph,
    onnx_from_network,
    require_same,
    with_default,
)

#: What the sidecar of a classifier says of its limits.
LIMITS = "Knows the classes of its data set only and answers with one of them for any picture."

#: Of a network of spikes or routes: share of images whose class may be another.
_CHANGED_CLASSES = 1e-3
_CHECKED_IMAGES = 1000
_BATCH = 500

#: Accuracy, 0..1, that mirrored images must cost before a classifier counts as sensitive.
_MIRRORED_LOSS = 0.01

_OUTPUTS: tuple[tuple[str, OutputMeaning], ...] = (("logits", "logits"), ("features", "features"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """How to name what is written.

    Attributes:
        output: Folder for the two files.
        name: Name of the model and of its files.
        architecture: Name of its architecture.
        seed: Seed of its training.
        command: Command line that trained it, for the record.
        limits: What it must not be used for.
        precision: Arithmetic of its training, for the record; None if it was not trained.
    """

    output: Path
    name: str
    architecture: str
    seed: int
    command: str
    limits: str
    precision: TrainingPrecision | None = None


def export_classifier(
    network: nn.Module, dataset: ImageDataset, settings: ExportSettings
) -> NetworkLogits:
    """Write the graph (opset 13, batch size free), calibrated on validation, and the sidecar.

    The CPU time is left at 0, not measured: `models.classifiers.timing` measures a pool together.

    Args:
        network: Trained, in evaluation mode.
        dataset: What it was trained on; the temperature is fitted on its validation images.
        settings: How to name it.

    Returns:
        Its raw logits of the validation and test images, computed by ONNX Runtime.

    Raises:
        DataError: If ONNX Runtime differs from torch by more than 1e-4, or of a network of spikes
            or routes says another class for more than one image in a thousand; nothing is written.
    """
    spec = image_spec(dataset)
    fused = network.fused() if isinstance(network, Reparameterised) else network
    extra = network.extra_outputs if isinstance(network, ExtraOutputs) else ()
    outputs = (*_OUTPUTS, *extra)
    height, width, channels = dataset.image_shape
    example = {"image": torch.zeros(1, channels, height, width)}
    completes = any(meaning == "completed" for _, meaning in extra)
    if completes:
        example[OBSERVED] = torch.ones(1, 1, height, width)
    content = onnx_from_network(fused, example, [name for name, _ in outputs])
    if completes:
        content = with_default(content, OBSERVED, example[OBSERVED].numpy())
    checked = dataset.validation.images[:_CHECKED_IMAGES]
    expected = predict_logits(network, checked, spec)
    found = _logits(OnnxSession(content, name=settings.name), checked, spec)
    where = f"on {len(checked)} validation images of {settings.name} ONNX Runtime"
    if any(meaning in ("spikes", "routes") for _, meaning in extra):
        _require_same_classes(found, expected, where)
    else:
        require_same(found, expected, f"{where} and torch differ")
    logits = write_classifier(content, outputs, dataset, settings)
    model = settings.output / f"{settings.name}.onnx"
    if isinstance(fused, AnyTime):
        write_stages(fused, model, dataset)
    return logits


def write_classifier(
    content: bytes,
    outputs: Sequence[tuple[str, OutputMeaning]],
    dataset: ImageDataset,
    settings: ExportSettings,
) -> NetworkLogits:
    """Write a graph and its sidecar, calibrated on validation images and judged on test images.

    Args:
        content: ONNX file whose input ``image`` is what `image_spec` of the data set describes.
        outputs: Name and meaning of the graph's outputs; ``logits`` is among them.
        dataset: What it was trained on.
        settings: How to name it.

    Returns:
        Its raw logits of the validation and test images, computed by ONNX Runtime.
    """
    spec = image_spec(dataset)
    session = OnnxSession(content, name=settings.name)
    answers = session.run({"image": tensor_from_canonical(dataset.test.images[:1], spec)})
    specs = tuple(
        OutputSpec(name=name, meaning=meaning, shape=(-1, *answers[name].shape[1:]))
        for name, meaning in outputs
    )
    macs, parameters = count_cost(content)
    logits = NetworkLogits(
        architecture=settings.architecture,
        seed=settings.seed,
        macs=macs,
        parameters=parameters,
        cpu_us=0.0,
        validation=_logits(session, dataset.validation.images, spec),
        test=_logits(session, dataset.test.images, spec),
    )
    file = describe_graph(settings.name, content)
    task = TaskSpec(orientation_sensitive=orientation_sensitive(session, dataset))
    sidecar = _describe(settings, dataset, (file, specs, task), logits)
    write_bytes_atomic(settings.output / f"{settings.name}.onnx", content)
    write_sidecar(settings.output / (settings.name + SUFFIX), sidecar)
    return logits


def orientation_sensitive(session: OnnxSession, dataset: ImageDataset) -> bool:
    """Return whether a classifier loses accuracy on mirrored validation images, beyond chance."""
    images, spec = dataset.validation.images[:_CHECKED_IMAGES], image_spec(dataset)
    labels = dataset.validation.labels[:_CHECKED_IMAGES]
    right, right_mirrored = (
        _logits(session, of, spec).argmax(axis=1) == labels for of in (images, mirrored(images))
    )
    gained = int((right_mirrored & ~right).sum())
    lost = int((right & ~right_mirrored).sum())
    change = paired_difference(gained, lost, len(labels))
    return change.high is not None and change.high < -_MIRRORED_LOSS


def copy_classifier(model: Path, output: Path, name: str) -> Sidecar:
    """Copy a graph, its sidecar and what else belongs to it under another name.

    Raises:
        DataError: If the model is absent, damaged or has not exactly one file.
    """
    sidecar = read_sidecar(model)
    if len(sidecar.files) != 1:
        raise DataError(f"{model} has {len(sidecar.files)} files, expected one to copy")
    write_bytes_atomic(output / f"{name}.onnx", read_model_bytes(model, sidecar))
    file = sidecar.files[0].model_copy(update={"path": f"{name}.onnx"})
    stages = []
    for number, stage in enumerate(sidecar.stages, start=1):
        path = stage_file_name(name, number)
        write_bytes_atomic(output / path, read_described_bytes(model, stage))
        stages.append(stage.model_copy(update={"path": path}))
    state = sidecar.state
    if state.path is not None:
        memory = model.with_name(state.path)
        read_state(memory, state.sha256)  # refuses a damaged one
        content = memory.read_bytes()
        state = state.model_copy(update={"path": f"{name}.{str(state.sha256)[:12]}.npz"})
        write_bytes_atomic(output / str(state.path), content)
    copy = sidecar.model_copy(
        update={"name": name, "files": (file,), "stages": tuple(stages), "state": state}
    )
    write_sidecar(output / (name + SUFFIX), copy)
    return copy


def _require_same_classes(
    found: NDArray[np.float32], expected: NDArray[np.float32], where: str
) -> None:
    """Raise `DataError` if an export that jumps says other classes than the network.

    A neuron whose potential lies at its threshold fires or not by the last bit of a sum, and so
    does a router choose between two experts; logits cannot be compared.
    """
    changed = float(np.mean(found.argmax(axis=1) != expected.argmax(axis=1)))
    if changed > _CHANGED_CLASSES:
        raise DataError(
            f"{where} says another class than torch for {changed:.2%} of them, allowed is "
            f"{_CHANGED_CLASSES:.1%}; the export was stopped"
        )


def _logits(
    session: OnnxSession, images: NDArray[np.uint8], spec: ImageSpec
) -> NDArray[np.float32]:
    parts = [
        session.run({"image": tensor_from_canonical(images[k : k + _BATCH], spec)})["logits"]
        for k in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _describe(
    settings: ExportSettings,
    dataset: ImageDataset,
    graph: tuple[ModelFile, tuple[OutputSpec, ...], TaskSpec],
    logits: NetworkLogits,
) -> Sidecar:
    file, outputs, task = graph
    height, width, channels = dataset.image_shape
    temperature = fit_temperature(logits.validation, dataset.validation.labels)
    _, ece = calibration_errors(logits.validation, dataset.validation.labels, temperature)
    return Sidecar(
        kind="classifier",
        name=settings.name,
        version="1",
        files=(file,),
        input=InputSpec(
            name="image",
            layout="NCHW",
            dtype="FP32",
            shape=(-1, channels, height, width),
            image=image_spec(dataset),
        ),
        outputs=outputs,
        labels=dataset.labels,
        task=task,
        calibration=Calibration(
            temperature=temperature, split="validation", n=len(dataset.validation), ece=ece
        ),
        cost=Cost(macs=logits.macs, parameters=logits.parameters, cpu_us=0.0, host=host_name()),
        training=TrainingRecord(
            command=settings.command,
            data=TrainingData(name=dataset.name, sha256=dataset.fingerprint),
            split="train",
            seed=settings.seed,
            precision=settings.precision,
        ),
        claims=claims_on_test(
            right=int((logits.test.argmax(axis=1) == dataset.test.labels).sum()),
            n=len(dataset.test),
            ece=expected_calibration_error(softmax(logits.test, temperature), dataset.test.labels),
            command=settings.command,
        ),
        license="Apache-2.0",
        limits=settings.limits,
    )


def claims_on_test(right: int, n: int, ece: float, command: str) -> tuple[Claim, ...]:
    """State what a classifier does on test images, for its sidecar.

    Args:
        right: How many it answered right; the accuracy has Wilson's interval.
        n: How many there are.
        ece: Its expected calibration error on them.
        command: Command line that made it.
    """
    accuracy = share(right, n)
    low, high = accuracy.low, accuracy.high
    interval = None if low is None or high is None else (round(low, 4), round(high, 4))

    def claim(metric: str, value: float | None, ci95: tuple[float, float] | None) -> Claim:
        return Claim(
            metric=metric,
            value=round(value or 0.0, 4),
            ci95=ci95,
            n=n,
            seeds=1,
            split="test",
            command=command,
        )

    return claim("accuracy", accuracy.value, interval), claim("ece", ece, None)
