"""How the networks of the study `hydra` learn: captions first, then the adapter; and a twin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bicameral.errors import DataError
from bicameral.types import PACE_CAMERA
from edge.driver_model import one_hot_from_commands
from edge.drives.words import BEGIN, END, PAD
from edge.preprocessing import canonical_from_picture, tensor_from_canonical
from edge.shipped import shipped_model
from models.caril.dataset import find_episodes
from models.drives.captions import (
    KINDS,
    SENTENCE_WORDS,
    UNKNOWN,
    VOCABULARY,
    caption,
    draw_query,
    facts_of,
    fits,
)
from models.drives.network import (
    BLOCKS,
    FEATURES,
    FRAME,
    READER_IMAGE,
    WIDTH,
    DriveDescriber,
    DriveReader,
    frozen_trunk,
)
from studies.papers.seeded import train

_BATCH = 64
_RATE, _ADAPTER_RATE = 2e-3, 4e-3
#: What similarities, at most 1, are multiplied by before the softmax.
_SHARPNESS = 20.0
#: Share of the captions that are learned without the command, as of a picture alone.
_UNTOLD = 0.3
_COMMAND = KINDS.index("command")
_NO_PAST = torch.zeros(1, 2 * BLOCKS, 0, WIDTH)
_FRAME_PAST = torch.zeros(1, 2 * BLOCKS, FRAME, WIDTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Frames of drives as the frozen trunk sees them.

    Attributes:
        pictures: (N, 64, 160, 3) uint8.
        features: (N, 96, 4, 10) float16.
        commands: (N, 4) float32 one-hot.
        facts: (N, 4) int64.
        towns: (N,) names.
    """

    pictures: NDArray[np.uint8]
    features: Tensor
    commands: Tensor
    facts: NDArray[np.int64]
    towns: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.facts)

    def of(self, towns: tuple[str, ...], *, others: bool = False) -> Frames:
        """Return the frames of some towns, or of all others."""
        kept = np.isin(self.towns, towns) != others
        return Frames(
            pictures=self.pictures[kept],
            features=self.features[torch.from_numpy(kept)],
            commands=self.commands[torch.from_numpy(kept)],
            facts=self.facts[kept],
            towns=self.towns[kept],
        )


def trunk() -> nn.Sequential:
    """Return the trunk of the path network that ships."""
    return frozen_trunk(shipped_model("path_a").with_name("path_a.onnx"))


def read_frames(folders: list[Path], every: int = 2) -> Frames:
    """Read drives that were recorded among others, of every so many frames one."""
    pictures, facts, commands, towns = [], [], [], []
    for episode in (one for folder in folders for one in find_episodes(folder)):
        if episode.camera != PACE_CAMERA:
            raise DataError(f"{episode.folder} was not recorded by the camera among others")
        with np.load(episode.folder / "labels.npz", allow_pickle=False) as archive:
            labels = {name: archive[name][::every] for name in archive.files}
        recorded = np.load(episode.folder / "frames.npy", mmap_mode="r")[::every]
        pictures.append(canonical_from_picture(recorded, READER_IMAGE))
        facts.append(facts_of(labels, episode.weather))
        commands.append(one_hot_from_commands(labels["command"]))
        towns += [episode.town] * len(recorded)
    seen = np.concatenate(pictures)
    return _frames(seen, np.concatenate(commands), np.concatenate(facts), np.array(towns))


def random_frames(count: int, towns: tuple[str, ...]) -> Frames:
    """Return noise with facts, for a run that is only to go through."""
    rng = np.random.default_rng(0)
    told = rng.integers(1, 5, count)
    return _frames(
        rng.integers(0, 256, (count, READER_IMAGE.height, READER_IMAGE.width, 3), np.uint8),
        one_hot_from_commands(told),
        np.stack([rng.integers(0, 4, count), told % 4, *rng.integers(0, 3, (2, count))], axis=1),
        np.resize(np.array(towns), count),
    )


def _frames(
    pictures: NDArray[np.uint8],
    commands: NDArray[np.float32],
    facts: NDArray[np.int64],
    towns: NDArray[np.str_],
) -> Frames:
    network = trunk()
    features = torch.empty(len(pictures), FEATURES, 4, 10, dtype=torch.float16)
    for start in range(0, len(pictures), 128):
        part = slice(start, start + 128)
        scaled = tensor_from_canonical(pictures[part], READER_IMAGE)
        features[part] = network(torch.from_numpy(scaled)).half()
    told = torch.from_numpy(commands)
    return Frames(pictures=pictures, features=features, commands=told, facts=facts, towns=towns)


def train_reader(frames: Frames, steps: tuple[int, int], seed: int) -> DriveReader:
    """Train the base on captions, freeze it, and train the adapter on queries.

    Args:
        frames: Of the training towns.
        steps: Of the base, and of the adapter.
        seed: Of the weights and of what is drawn.
    """
    torch.manual_seed(seed)
    reader = DriveReader(trunk())
    draw = np.random.default_rng(seed)
    base = [one for one in reader.parameters() if one.requires_grad]
    train(base, lambda _: caption_loss(reader, frames, draw), steps[0], _RATE)
    adapter = reader.requires_grad_(False).adapter_parameters()
    for one in adapter:
        one.requires_grad_()
    train(adapter, lambda _: query_loss(reader, frames, draw), steps[1], _ADAPTER_RATE)
    return reader.requires_grad_(False).eval()


def train_twin(frames: Frames, steps: int, seed: int) -> DriveReader:
    """Train the same network for nothing but finding: all its weights, on queries."""
    torch.manual_seed(seed)
    twin = DriveReader(trunk())
    draw = np.random.default_rng(seed)
    weights = [one for one in twin.parameters() if one.requires_grad]
    train(weights, lambda _: query_loss(twin, frames, draw), steps, _RATE)
    return twin.requires_grad_(False).eval()


def caption_loss(network: DriveDescriber, frames: Frames, draw: np.random.Generator) -> Tensor:
    """Return the cross-entropy of the words of a batch of captions."""
    index = draw.integers(len(frames), size=_BATCH)
    facts, told = frames.facts[index].copy(), frames.commands[index].clone()
    untold = draw.random(_BATCH) < _UNTOLD
    facts[untold, _COMMAND], told[torch.from_numpy(untold)] = UNKNOWN, 0.0
    words = torch.full((_BATCH, SENTENCE_WORDS), PAD)
    for row, one in enumerate(facts):
        numbers = [BEGIN, *VOCABULARY.numbers(caption(one)), END]
        words[row, : len(numbers)] = torch.tensor(numbers)
    seen = network.see(frames.features[index].float(), told)
    tokens = torch.cat([seen, network.say(words[:, :-1], _FRAME_PAST)], dim=1)
    logits = network(tokens, _NO_PAST.expand(_BATCH, -1, -1, -1), torch.tensor(data=False))[0]
    return functional.cross_entropy(
        logits[:, FRAME:].flatten(0, 1), words[:, 1:].flatten(), ignore_index=PAD
    )


def query_loss(network: DriveReader, frames: Frames, draw: np.random.Generator) -> Tensor:
    """Return the contrastive loss of a batch: each query is to find its frame among the others.

    Other frames that fit a query, too, are no wrong answers to it, and do not count.
    """
    index = draw.integers(len(frames), size=_BATCH)
    drawn = [draw_query(one, draw) for one in frames.facts[index]]
    fitting = fits(np.stack([asked for _, asked in drawn]), frames.facts[index])
    scores = late_interaction(
        compare_queries(network, [text for text, _ in drawn]),
        compare_frames(network, frames, index),
    )
    also = torch.from_numpy(fitting) & ~torch.eye(_BATCH, dtype=torch.bool)
    return functional.cross_entropy(
        (_SHARPNESS * scores).masked_fill(also, -torch.inf), torch.arange(_BATCH)
    )


def compare_queries(network: DriveReader, texts: list[str]) -> Tensor:
    """Return the vectors (Q, 16, 32) of queries."""
    words = torch.tensor([VOCABULARY.query(text) for text in texts])
    past = _NO_PAST.expand(len(texts), -1, -1, -1)
    return _compared(network, network.say(words, past), past)


def compare_frames(network: DriveReader, frames: Frames, index: NDArray[np.integer]) -> Tensor:
    """Return the vectors (N, 41, 32) of some frames."""
    seen = network.see(frames.features[index].float(), frames.commands[index])
    return _compared(network, seen, _NO_PAST.expand(len(index), -1, -1, -1))


def _compared(network: DriveReader, tokens: Tensor, past: Tensor) -> Tensor:
    return network.compared(network.decode(tokens, past, torch.tensor(data=True))[0])


def late_interaction(queries: Tensor, frames: Tensor) -> Tensor:
    """Return the scores (Q, N): the mean over a query's words of the best of a frame's tokens."""
    return torch.einsum("qwc,ntc->qnwt", queries, frames).amax(-1).mean(-1)
