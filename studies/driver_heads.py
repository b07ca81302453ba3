"""Two ways to join what a driver sees with its speed and command, learned on a frozen trunk.

FiLM scales and shifts the features of the picture by speed and command, as the networks that ship
do. The bilinear sum (FinalMLP; Mao et al. 2023, arXiv 2304.00902) leaves both streams alone and
adds to their linear votes what they say together, sum over chunks c of o_1c' W_c o_2c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import compose, shape_inference, utils
from torch import Tensor, nn

from bicameral.files import write_bytes_atomic
from edge.driver_model import one_hot_from_commands
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, read_sidecar, write_sidecar
from models.caril.dataset import Frames
from models.caril.lessons import DAGGER_SHARE, sampling_weights, steering_losses
from models.networks.driver_trunk import (
    FEATURES,
    HEAD,
    head,
    modulation_layers,
    state_columns,
)
from models.networks.steering_classes import NETWORK_IMAGE, STEERING_CLASSES, STEERING_SCALE
from models.onnx_export import count_cost, describe_graph, onnx_from_network

#: Whose trunk it is, and the picture that its last convolution gives, (N, 48, 4, 10).
_TRUNK = "caril_a"
_SEEN = "/reduce/reduce.1/Relu_output_0"
_SEEN_SHAPE = (48, 4, 10)

_VARIANT: Literal["conditional"] = "conditional"
_CLASSES = STEERING_CLASSES[_VARIANT]
_OUTPUTS = 1 + _CLASSES.count
_DROPOUT, _SHARED = 0.2, 128
#: Of the bilinear sum: numbers of the second stream, and chunks.
_STATE, _CHUNKS = 32, 4

_BATCH, _RATE, _WEIGHT_DECAY = 128, 1e-3, 1e-2


class Film(nn.Module):
    """The layers of the networks that ship, from the trunk's picture on."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(int(np.prod(_SEEN_SHAPE)), FEATURES)
        self.condition = modulation_layers(5)
        self.shared = nn.Sequential(nn.Dropout(_DROPOUT), nn.Linear(FEATURES, _SHARED), nn.ReLU())
        self.regression, self.classification = head(HEAD, 1), head(HEAD, _CLASSES.count)

    def forward(self, seen: Tensor, speed_mps: Tensor, command: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 48, 4, 10), (N, 1) and (N, 4) to raw steer (N, 1) and logits (N, 11)."""
        gain, shift = self.condition(state_columns(speed_mps, command)).split(FEATURES, dim=1)
        shared = self.shared(torch.relu(self.read(seen.flatten(1)) * (1.0 + gain) + shift))
        return self.regression(shared) / STEERING_SCALE, self.classification(shared)


class Bilinear(nn.Module):
    """Two streams, their linear votes, and their bilinear sum for each output."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Linear(int(np.prod(_SEEN_SHAPE)), FEATURES),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(FEATURES, _SHARED),
            nn.ReLU(),
        )
        self.state = nn.Sequential(
            nn.Linear(5, _STATE), nn.ReLU(), nn.Linear(_STATE, _STATE), nn.ReLU()
        )
        self.votes = nn.Linear(_SHARED + _STATE, _OUTPUTS)
        first, second = _SHARED // _CHUNKS, _STATE // _CHUNKS
        together = torch.empty(_CHUNKS, first, second * _OUTPUTS)
        self.together = nn.Parameter(nn.init.normal_(together, std=(first * second) ** -0.5))

    def forward(self, seen: Tensor, speed_mps: Tensor, command: Tensor) -> tuple[Tensor, Tensor]:
        """Map what `Film` does."""
        first = self.seen(seen.flatten(1))
        second = self.state(state_columns(speed_mps, command))
        # (N, chunks, 1, first) x (chunks, first, second * outputs), then a weighted sum of seconds.
        products = first.reshape(-1, _CHUNKS, 1, _SHARED // _CHUNKS) @ self.together
        products = products.reshape(-1, _STATE, _OUTPUTS)
        answers = self.votes(torch.cat([first, second], dim=1))
        answers = answers + (products * second[:, :, None]).sum(dim=1)
        return answers[:, :1] / STEERING_SCALE, answers[:, 1:]


#: Every way by name.
WAYS: dict[str, Callable[[], nn.Module]] = {"film": Film, "bilinear": Bilinear}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Frames as the heads take them.

    Attributes:
        inputs: What the trunk sees, (N, 48, 4, 10); speeds (N, 1); commands, one-hot (N, 4).
        steer: (N,) what the expert would steer.
        labels: (N,) its class.
        weights: (N,) how often a frame is drawn.
    """

    inputs: tuple[Tensor, Tensor, Tensor]
    steer: Tensor
    labels: Tensor
    weights: Tensor


def look(*parts: Frames) -> Seen:
    """Show frames to the trunk."""
    each = [_look(frames) for frames in parts if len(frames)]
    return Seen(
        inputs=(
            torch.cat([one.inputs[0] for one in each]),
            torch.cat([one.inputs[1] for one in each]),
            torch.cat([one.inputs[2] for one in each]),
        ),
        steer=torch.cat([one.steer for one in each]),
        labels=torch.cat([one.labels for one in each]),
        weights=torch.cat([one.weights * len(one.steer) for one in each]),
    )


def trunk_session() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what maps pictures (N, 64, 160, 3) to what the trunk sees, (N, 48, 4, 10)."""
    session = OnnxSession(_trunk().SerializeToString(), name=_TRUNK)
    return lambda images: session.run({"image": tensor_from_canonical(images, NETWORK_IMAGE)})[
        _SEEN
    ]


def _look(frames: Frames) -> Seen:
    see = trunk_session()
    seen = [see(frames.gather(index)) for index in frames.batches()]
    labels = _CLASSES.labels(frames.steer)
    return Seen(
        inputs=(
            torch.from_numpy(np.concatenate(seen)),
            torch.from_numpy(frames.speed_mps)[:, None],
            torch.from_numpy(one_hot_from_commands(frames.command)),
        ),
        steer=torch.from_numpy(frames.steer),
        labels=torch.from_numpy(labels),
        weights=torch.from_numpy(sampling_weights(frames, labels, DAGGER_SHARE)),
    )


def fit(way: str, seed: int, frames: Seen, steps: int) -> nn.Module:
    """Train the heads of a way to join, and return them in evaluation mode."""
    torch.manual_seed(seed)
    network = WAYS[way]()
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rows = torch.multinomial(frames.weights, _BATCH, replacement=True)
        answered = network(*(one[rows] for one in frames.inputs))
        wanted = frames.steer[rows], frames.labels[rows]
        optimizer.zero_grad()
        steering_losses(_VARIANT, answered, *wanted)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def answers(network: nn.Module, frames: Seen) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return steering (N,) and logits (N, 11) for frames."""
    with torch.inference_mode():
        steer, logits = network(*frames.inputs)
    return steer[:, 0].numpy(), logits.numpy()


def write_driver(folder: Path, name: str, network: nn.Module) -> Path:
    """Write trunk and heads as one network that drives, and return its sidecar."""
    examples = {
        "seen": torch.zeros(1, *_SEEN_SHAPE),
        "speed_mps": torch.zeros(1, 1),
        "command": torch.zeros(1, 4),
    }
    heads = onnx.load_from_string(onnx_from_network(network, examples, ("steer", "logits")))
    trunk = _trunk()
    heads.ir_version = trunk.ir_version
    whole = compose.merge_models(trunk, heads, io_map=[(_SEEN, "seen")])
    content = whole.SerializeToString(deterministic=True)
    shipped = read_sidecar(resolve_model(_TRUNK))
    macs, parameters = count_cost(content)
    sidecar = shipped.model_copy(
        update={
            "name": name,
            "files": (describe_graph(name, content),),
            "cost": shipped.cost.model_copy(update={"macs": macs, "parameters": parameters}),
            "limits": "Made by a study, to be measured and nothing else.",
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(folder / f"{name}.onnx", content)
    write_sidecar(folder / f"{name}{SUFFIX}", sidecar)
    return folder / f"{name}{SUFFIX}"


def _trunk() -> onnx.ModelProto:
    """Return the graph from a picture to what the last convolution gives."""
    path = resolve_model(_TRUNK)
    whole = onnx.load(path.with_name(read_sidecar(path).files[0].path))
    return utils.Extractor(shape_inference.infer_shapes(whole)).extract_model(["image"], [_SEEN])
