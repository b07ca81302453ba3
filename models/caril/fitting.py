"""What is measured on the data after the training of any driver, and where that is stored."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq

from bicameral.files import write_bytes_atomic, write_json_atomic
from bicameral.types import AGENT_CAMERA, PACE_CAMERA
from edge.agent_sidecar import InputRange
from edge.driver_model import COMMANDS
from edge.preprocessing import picture_statistics, tensor_from_canonical
from models.caril.dataset import Frames
from models.caril.lessons import state_tensors
from models.caril.path_metrics import WIDEST
from models.networks.driver_trunk import NetworkSettings, image_of
from models.networks.dual_head import DriverNetwork
from models.records import read_record

CHECK_NAME: Final = "check.npz"
_FIT_NAME: Final = "fit.json"

#: Share of validation frames for which the network counts as unsure.
ASKED_SHARE: Final = 0.15
#: Factors are looked for between exp of these.
_LOG_FACTORS: Final = (-7.0, 7.0)
_CHECK_FRAMES: Final = 500
_STATISTICS_FRAMES: Final = 4000

Fit = TypeVar("Fit")


def ask_network(
    network: DriverNetwork, frames: Frames, *more: NDArray[np.float32]
) -> tuple[NDArray[np.float32], ...]:
    """Return the answers of a network in evaluation mode for all frames, each (N, ...).

    Args:
        network: The network.
        frames: What it is asked about.
        more: (N, ...) what it takes beside picture and state.
    """
    parts = []
    with torch.inference_mode():
        for index in frames.batches():
            told = [torch.from_numpy(values[index]) for values in more]
            answers = network(
                *_pictures(network, frames, index), *state_tensors(frames, index), *told
            )
            parts.append([answer.numpy() for answer in answers])
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _pictures(
    network: DriverNetwork, frames: Frames, index: NDArray[np.int64]
) -> Iterator[torch.Tensor]:
    """Yield the image of some frames, and the earlier one of a network that takes it."""
    spec = image_of(network.settings.variant)
    yield torch.from_numpy(tensor_from_canonical(frames.gather(index), spec))
    if network.settings.variant == "pace":
        yield torch.from_numpy(tensor_from_canonical(frames.gather_earlier(index), spec))


def fit_factor(error: NDArray[np.floating], std: NDArray[np.floating]) -> float:
    """Return the factor of `std` with which mean of (error / std) ** 2, each at most 9, is 1."""
    squared = (error / np.maximum(std, 1e-6)) ** 2

    def excess(log_factor: float) -> float:
        return float(np.minimum(squared * np.exp(-2.0 * log_factor), WIDEST).mean()) - 1.0

    low, high = _LOG_FACTORS
    if excess(low) <= 0.0 or excess(high) >= 0.0:
        return 1.0
    return float(np.exp(brentq(excess, low, high)))


def describe_training(settings: NetworkSettings, training: Frames) -> dict[str, Any]:
    """Return the fields of `edge.agent_sidecar.DriverSpec`, which every driver has.

    Args:
        settings: Of the network.
        training: Frames it was trained on.
    """
    return {
        "contrast": settings.contrast,
        "commands": () if settings.variant == "paper" else COMMANDS,
        "camera": PACE_CAMERA if settings.variant == "pace" else AGENT_CAMERA,
        "trained_on": "pocket",
        "towns": training.towns,
        "weathers": training.weathers,
        "input_range": _input_range(training),
    }


def write_fit(folder: Path, fit: Any, validation: Frames, **more: NDArray[np.generic]) -> None:
    """Store a fit, and up to 500 validation pictures to check exports with.

    Args:
        folder: Output folder of the training.
        fit: A dataclass with the block `agent` and figures.
        validation: Frames with pictures, speed and command.
        more: (N, ...) of all these frames, what the network takes beside them.
    """
    index = np.linspace(0, len(validation) - 1, min(_CHECK_FRAMES, len(validation))).astype(int)
    buffer = io.BytesIO()
    kept = {name: values[index] for name, values in more.items()}
    if fit.agent.variant == "pace":
        kept["earlier"] = validation.gather_earlier(index)
    np.savez(
        buffer,
        images=validation.gather(index),
        speed_mps=validation.speed_mps[index],
        command=validation.command[index],
        **kept,
    )
    write_bytes_atomic(folder / CHECK_NAME, buffer.getvalue())
    record: Mapping[str, Any] = asdict(fit) | {"agent": fit.agent.model_dump(mode="json")}
    write_json_atomic(folder / _FIT_NAME, record)


def read_fit(folder: Path, kind: type[Fit]) -> Fit:
    """Read the fit of a finished training.

    Raises:
        DataError: If the training is not finished or the file is damaged.
    """
    return read_record(
        folder / _FIT_NAME,
        kind,
        what="record of a finished training",
        remedy="a training writes it when it ends, so finish it first",
    )


def _input_range(frames: Frames) -> InputRange:
    """Return the 0.1 % and 99.9 % quantiles of pictures' mean and standard deviation."""
    count = min(_STATISTICS_FRAMES, len(frames))
    index = np.linspace(0, len(frames) - 1, count).astype(int)
    statistics = np.array([picture_statistics(image) for image in frames.gather(index)])
    low, high = np.quantile(statistics, (0.001, 0.999), axis=0).tolist()
    return InputRange(brightness=(low[0], high[0]), contrast=(low[1], high[1]))
