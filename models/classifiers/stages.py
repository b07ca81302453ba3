"""From a network that answers after each of its stages to one graph per stage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bicameral.files import write_bytes_atomic
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from edge.sidecar import ImageSpec, Sidecar, Stage, read_sidecar, sidecar_path, write_sidecar
from edge.stages import CARRIED, CARRIED_ON, STAGE_LOGITS
from models.calibration import calibration_errors, fit_temperature
from models.data.dataset import ImageDataset
from models.networks.capabilities import AnyTime
from models.onnx_export import count_cost, onnx_from_network, require_same

_BATCH = 500


def write_stages(network: AnyTime, model: Path, dataset: ImageDataset) -> Sidecar:
    """Write the graph of each stage beside an exported model, and describe them in its sidecar.

    Each stage gets a temperature, fitted on validation images; that of the last one is the model's.

    Args:
        network: The exported network, in evaluation mode.
        model: Path of its graph, whose output of meaning ``stage_logits`` is (-1, T, C).
        dataset: What it was trained on.

    Raises:
        DataError: If the stages, run one after another, differ from the whole graph.
    """
    sidecar = read_sidecar(model)
    graphs = _graphs(network.stages(), sidecar.input.image)
    sessions = [OnnxSession(graph, name=f"stage {k}") for k, graph in enumerate(graphs, start=1)]
    images, labels = dataset.validation.images, dataset.validation.labels
    logits = stage_logits(sessions, images, sidecar.input.image)
    _require_the_whole(sidecar, model, logits, images)
    stages = []
    for number, (graph, answers) in enumerate(zip(graphs, logits, strict=True), start=1):
        path = model.with_name(stage_file_name(model.stem, number))
        write_bytes_atomic(path, graph)
        temperature = fit_temperature(answers, labels)
        stages.append(
            Stage(
                path=path.name,
                sha256=hashlib.sha256(graph).hexdigest(),
                bytes=len(graph),
                macs=count_cost(graph)[0],
                temperature=temperature,
                ece=calibration_errors(answers, labels, temperature)[1],
            )
        )
    described = sidecar.model_copy(update={"stages": tuple(stages)})
    write_sidecar(sidecar_path(model), described)
    return described


def stage_file_name(model: str, number: int) -> str:
    """Return the name of a stage's file; stages count from 1."""
    return f"{model}.stage_{number:02d}.onnx"


def stage_logits(
    stages: Sequence[OnnxSession], images: NDArray[np.uint8], spec: ImageSpec
) -> NDArray[np.float32]:
    """Return the logits after each stage, (T, N, C) float32, for canonical images."""
    parts = []
    for begin in range(0, len(images), _BATCH):
        feeds = {"image": tensor_from_canonical(images[begin : begin + _BATCH], spec)}
        answers = []
        for stage in stages:
            found = stage.run(feeds)
            feeds[CARRIED] = found[CARRIED_ON]
            answers.append(found[STAGE_LOGITS])
        parts.append(np.stack(answers))
    return np.concatenate(parts, axis=1)


def _graphs(stages: Sequence[nn.Module], image: ImageSpec) -> list[bytes]:
    """Trace the stages, each with what the one before hands on."""
    inputs = {"image": torch.zeros(1, image.channels, image.height, image.width)}
    graphs = []
    for stage in stages:
        graphs.append(onnx_from_network(stage, inputs, (STAGE_LOGITS, CARRIED_ON)))
        with torch.no_grad():
            inputs[CARRIED] = stage(*inputs.values())[1]
    return graphs


def _require_the_whole(
    sidecar: Sidecar, model: Path, logits: NDArray[np.float32], images: NDArray[np.uint8]
) -> None:
    """Check the stages' logits (T, N, C) against those of the whole graph."""
    output = next(one for one in sidecar.outputs if one.meaning == "stage_logits")
    checked = images[:_BATCH]
    whole = OnnxSession(model.read_bytes(), name=sidecar.name)
    expected = whole.run({"image": tensor_from_canonical(checked, sidecar.input.image)})
    found = logits[:, : len(checked)].swapaxes(0, 1)
    where = (
        f"on {len(checked)} validation images the stages of {sidecar.name!r} and the whole graph"
    )
    require_same(found, expected[output.name], f"{where} differ")
