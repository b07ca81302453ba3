"""From a finished training to `NAME.onnx` and its sidecar, checked against torch."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from bicameral.types import AGENT_CAMERA
from edge.dual_head import COMMANDS, DualHeadModel
from edge.session import OnnxSession
from edge.sidecar import (
    SUFFIX,
    AgentSpec,
    Calibration,
    CameraBlock,
    ConfidenceThreshold,
    Cost,
    ExtraInput,
    InputRange,
    InputSpec,
    OutputSpec,
    Sidecar,
    TaskSpec,
    TrainingData,
    TrainingRecord,
    write_sidecar,
)
from models.caril.fitting import CHECK_NAME, Fit, predict_images, read_fit
from models.caril.training import SETTINGS_NAME, load_network
from models.host import host_name
from models.networks.dual_head import DualHeadNetwork
from models.networks.steering_classes import NETWORK_IMAGE, STEERING_CLASSES, STEERING_SCALE
from models.onnx_export import count_cost, describe_graph, onnx_from_network, require_same
from models.trainer import CHECKPOINT_NAME

_LIMITS = (
    "Sees road and markings only: no obstacles, no traffic lights, no other road users. Drives the "
    "simulator whose pictures it was trained on (agent.trained_on), no other one and no real car."
)

#: The image tensor.
_IMAGE_INPUT = InputSpec(
    name="image",
    layout="NCHW",
    dtype="FP32",
    shape=(-1, 3, NETWORK_IMAGE.height, NETWORK_IMAGE.width),
    image=NETWORK_IMAGE,
)
#: What the variant `conditional` takes beside the image.
_EXTRA_INPUTS = (
    ExtraInput(name="speed_mps", dtype="FP32", shape=(-1, 1), meaning="forward speed, m/s"),
    ExtraInput(
        name="command",
        dtype="FP32",
        shape=(-1, len(COMMANDS)),
        meaning="one-hot navigation command, columns agent.commands",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What to export.

    Attributes:
        training: Output folder of a finished training.
        output: Folder for the two files.
        name: Name of the model and of its files.
        command: Command line that trained it, for the record.
    """

    training: Path
    output: Path
    name: str
    command: str = "bicameral train driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written, and how far ONNX Runtime is from torch."""

    model: Path
    sidecar: Path
    checked_images: int
    max_difference: float
    macs: int
    parameters: int


def export(settings: ExportSettings) -> ExportResult:
    """Write the graph (opset 13, batch size free) and the sidecar.

    Raises:
        DataError: If the training is not finished, or ONNX Runtime differs from torch by more than
            1e-4 on its validation pictures.
    """
    network = load_network(settings.training / CHECKPOINT_NAME)
    fit = read_fit(settings.training)
    content = _onnx_from_network(network)
    macs, parameters = count_cost(content)
    path = settings.output / f"{settings.name}.onnx"
    cost = Cost(macs=macs, parameters=parameters, cpu_us=0.0, host=host_name())
    sidecar = _describe(settings, network, fit, content, cost)
    model = DualHeadModel(sidecar, OnnxSession(content, name=settings.name))
    checked, difference, cpu_us = _compare(model, network, settings.training)
    cost = cost.model_copy(update={"cpu_us": round(cpu_us, 1)})
    write_bytes_atomic(path, content)
    target = path.with_name(settings.name + SUFFIX)
    write_sidecar(target, sidecar.model_copy(update={"cost": cost}))
    return ExportResult(
        model=path,
        sidecar=target,
        checked_images=checked,
        max_difference=difference,
        macs=macs,
        parameters=parameters,
    )


def _onnx_from_network(network: DualHeadNetwork) -> bytes:
    inputs = {"image": torch.zeros(1, 3, NETWORK_IMAGE.height, NETWORK_IMAGE.width)}
    if network.settings.variant == "conditional":
        inputs |= {"speed_mps": torch.zeros(1, 1), "command": torch.zeros(1, len(COMMANDS))}
    return onnx_from_network(network, inputs, ("steer", "logits"))


def _describe(
    settings: ExportSettings, network: DualHeadNetwork, fit: Fit, content: bytes, cost: Cost
) -> Sidecar:
    conditional = network.settings.variant == "conditional"
    classes = STEERING_CLASSES[network.settings.variant]
    return Sidecar(
        kind="agent",
        name=settings.name,
        version="1",
        files=(describe_graph(settings.name, content),),
        input=_IMAGE_INPUT,
        extra_inputs=_EXTRA_INPUTS if conditional else (),
        outputs=(
            OutputSpec(name="steer", meaning="steer", shape=(-1, 1)),
            OutputSpec(name="logits", meaning="logits", shape=(-1, classes.count)),
        ),
        labels=tuple(
            f"steer {low:+.4f}..{high:+.4f}"
            for low, high in zip(classes.edges[:-1], classes.edges[1:], strict=True)
        ),
        task=TaskSpec(orientation_sensitive=True),
        calibration=Calibration(
            temperature=fit.temperature,
            split="validation",
            n=fit.validation_frames,
            ece=fit.ece_after,
        ),
        cost=cost,
        agent=_agent_block(network, fit),
        training=_training_record(settings),
        license="Apache-2.0",
        limits=_LIMITS,
    )


def _agent_block(network: DualHeadNetwork, fit: Fit) -> AgentSpec:
    classes = STEERING_CLASSES[network.settings.variant]
    return AgentSpec(
        variant=network.settings.variant,
        bin_edges=classes.edges,
        class_means=fit.class_means,
        steering_scale=STEERING_SCALE,
        contrast=network.settings.contrast,
        commands=COMMANDS if network.settings.variant == "conditional" else (),
        camera=CameraBlock(**asdict(AGENT_CAMERA)),
        trained_on="pocket",
        towns=fit.towns,
        weathers=fit.weathers,
        input_range=InputRange(brightness=fit.brightness, contrast=fit.contrast),
        confidence=ConfidenceThreshold(
            threshold=fit.threshold,
            asked_share=fit.asked_share,
            split="validation",
            n=fit.validation_frames,
        ),
    )


def _training_record(settings: ExportSettings) -> TrainingRecord:
    path = settings.training / SETTINGS_NAME
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        # Only the folders' names: where they lay is nobody's business.
        name = "+".join(Path(folder).name for folder in record["data"])
        return TrainingRecord(
            command=settings.command,
            data=TrainingData(name=name, sha256=record["data_sha256"]),
            split="by town and episode",
            seed=record["seed"],
            precision="fp32",
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"cannot read the settings of the training {path}: {error!r}") from error


def _compare(
    model: DualHeadModel, network: DualHeadNetwork, training: Path
) -> tuple[int, float, float]:
    """Return number of pictures, largest absolute difference, and microseconds for one picture."""
    with np.load(training / CHECK_NAME, allow_pickle=False) as archive:
        images: NDArray[np.uint8] = archive["images"]
        speed_mps: NDArray[np.float32] = archive["speed_mps"]
        command: NDArray[np.int8] = archive["command"]
    steer, logits = predict_images(network, images, speed_mps, command)
    batch = model.predict_batch(images, speed_mps, command)
    difference = require_same(
        np.column_stack([batch.steer, batch.logits]),
        np.column_stack([steer, logits]),
        f"on {len(images)} validation pictures of {training} ONNX Runtime and torch differ",
    )
    times_s: list[float] = []
    for index in range(min(len(images), 100)):
        one = slice(index, index + 1)
        began = time.perf_counter()
        model.predict_batch(images[one], speed_mps[one], command[one])
        times_s.append(time.perf_counter() - began)
    return len(images), difference, float(np.median(times_s)) * 1e6
