"""One network that describes frames and finds them: a causal decoder with an adapter (2603.28554).

The trunk of a driving network, frozen, turns a picture into 40 patches. A decoder of two blocks
reads them, the command and the words so far, and says the next word. The adapter turns the same
decoder into a retriever: low-rank terms on queries and values, attention in both directions, and a
projection. With the adapter off every number is that of the decoder alone: the adapter is chosen by
`where`, since adding 0 times its output would not keep -0.0, infinities and what is no number.
"""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from edge.driver_model import COMMANDS
from edge.sidecar import ImageSpec
from models.drives.captions import SENTENCE_WORDS, VOCABULARY
from models.networks.steering_classes import NETWORK_IMAGE

#: The upper 128 rows of a picture of the camera among others: below is only the road at the bumper.
READER_IMAGE: ImageSpec = NETWORK_IMAGE.model_copy(update={"crop": (0, 0, 320, 128)})

FEATURES, PATCHES = 96, 40
#: Tokens of a frame: its patches, and the command.
FRAME = PATCHES + 1
WIDTH, HEADS, BLOCKS = 64, 4, 2
RANK, COMPARED = 8, 32
_LOW = -1e9


def frozen_trunk(model: Path) -> nn.Sequential:
    """Return the convolutions of a driving network, (N, 3, 64, 160) to (N, 96, 4, 10).

    Args:
        model: The ONNX file of a shipped path network, in which normalisation is folded into them.
    """
    graph = onnx.load(model).graph
    values = {one.name: torch.tensor(onnx.numpy_helper.to_array(one)) for one in graph.initializer}
    layers: list[nn.Module] = []
    for node in graph.node:
        if node.op_type != "Conv" or not node.output[0].startswith("/convolutions/"):
            continue
        weight, bias = values[node.input[1]], values[node.input[2]]
        about = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        layer = nn.Conv2d(
            weight.shape[1], len(weight), weight.shape[2], about["strides"][0], about["pads"][0]
        )
        layer.weight.data, layer.bias.data = weight, bias  # type: ignore[union-attr]
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers).requires_grad_(False).eval()


class LowRank(nn.Module):
    """What the adapter adds to a linear map; 0 at the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(WIDTH, RANK, bias=False)
        self.up = nn.Linear(RANK, WIDTH, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, T, 64) to the same shape."""
        added: Tensor = self.up(self.down(x))
        return added


class Block(nn.Module):
    """Attention and a perceptron, each after a normalisation and beside a shortcut."""

    def __init__(self, *, adapted: bool) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.join = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.think = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.added = nn.ModuleDict()
        if adapted:
            self.added.update({"query": LowRank(), "value": LowRank()})

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor], allowed: Tensor, adapter: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read tokens (N, T, 64) after P others; return them, and the keys and values of all."""
        y = self.before(x)
        query, value = self.query(y), self.value(y)
        if adapter is not None:
            query = torch.where(adapter, query + self.added["query"](y), query)
            value = torch.where(adapter, value + self.added["value"](y), value)
        keys = torch.cat([past[0], self.key(y)], dim=1)
        values = torch.cat([past[1], value], dim=1)
        scores = _split(query) @ _split(keys).transpose(2, 3) / math.sqrt(WIDTH / HEADS)
        taken = torch.where(allowed, scores, _LOW).softmax(-1) @ _split(values)
        x = x + self.join(taken.transpose(1, 2).flatten(2))
        return x + self.think(self.between(x)), keys, values


def _split(x: Tensor) -> Tensor:
    """Map (N, T, 64) to (N, heads, T, 16)."""
    return x.reshape(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).transpose(1, 2)


class DriveDescriber(nn.Module):
    """The decoder alone: the base that describes frames, and has no adapter."""

    output_names: tuple[str, ...] = ("logits", "past_on")

    def __init__(self, trunk: nn.Module, *, adapted: bool = False) -> None:
        """Build the decoder with fresh weights from torch's global generator, on a frozen trunk."""
        super().__init__()
        self.trunk = trunk
        self.look = nn.Linear(FEATURES, WIDTH)
        self.command = nn.Linear(len(COMMANDS), WIDTH)
        self.embed = nn.Embedding(len(VOCABULARY.words), WIDTH)
        self.places = nn.Parameter(torch.randn(FRAME, WIDTH) * 0.1)
        # Rows of a sentence begin behind the frame, those of a query at 0.
        self.turns = nn.Parameter(torch.randn(FRAME + SENTENCE_WORDS, WIDTH) * 0.1)
        self.blocks = nn.ModuleList(Block(adapted=adapted) for _ in range(BLOCKS))
        self.last = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, len(VOCABULARY.words))

    def see(self, features: Tensor, command: Tensor) -> Tensor:
        """Return the tokens (N, 41, 64) of a frame.

        Args:
            features: (N, 96, 4, 10), of the trunk.
            command: (N, 4) float32 one-hot, columns `edge.driver_model.COMMANDS`; zeros: not known.
        """
        patches = self.look(features.flatten(2).transpose(1, 2))
        return torch.cat([patches, self.command(command)[:, None]], dim=1) + self.places

    def say(self, words: Tensor, past: Tensor) -> Tensor:
        """Return the tokens (N, T, 64) of words (N, T) int64 after a past (N, 4, P, 64)."""
        # As tensors: the graph is to ask for the sizes anew.
        rows = torch.arange(words.shape[1]) + past.shape[2]
        embedded: Tensor = self.embed(words)
        return embedded + self.turns[rows]

    def forward(
        self, tokens: Tensor, past: Tensor, adapter: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Read tokens after others.

        Args:
            tokens: (N, T, 64), as `see` and `say` make them.
            past: (N, 4, P, 64), keys and values of the blocks; P is 0 at the beginning.
            adapter: () bool, of a `DriveReader`: to look for frames instead of describing them.

        Returns:
            Logits (N, T, words) of what comes after each token, and the past (N, 4, P + T, 64).
        """
        return self.answer(*self.decode(tokens, past, adapter))

    def decode(self, tokens: Tensor, past: Tensor, adapter: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what becomes of tokens (N, T, 64), and the past with them."""
        rows = torch.arange(tokens.shape[1]) + past.shape[2]
        causal = torch.arange(tokens.shape[1] + past.shape[2])[None, :] <= rows[:, None]
        allowed = self.allowed(causal, adapter)
        kept: list[Tensor] = []
        for place, block in enumerate(self.blocks):
            beside = past[:, 2 * place], past[:, 2 * place + 1]
            tokens, keys, values = block(tokens, beside, allowed, adapter)
            kept += [keys, values]
        return self.last(tokens), torch.stack(kept, dim=1)

    def allowed(self, causal: Tensor, adapter: Tensor | None) -> Tensor:
        """Return which tokens each may look at: those before it, with the adapter all."""
        return causal if adapter is None else causal | adapter

    def answer(self, read: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        return self.head(read), past


class DriveReader(DriveDescriber):
    """The decoder with an adapter, which a scalar switches."""

    output_names = ("logits", "past_on", "compared")

    def __init__(self, trunk: nn.Module) -> None:
        """Build both with fresh weights from torch's global generator."""
        super().__init__(trunk, adapted=True)
        self.project = nn.Linear(WIDTH, COMPARED)

    def answer(self, read: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs, and what is compared of each token, (N, T, 32) of length 1."""
        return self.head(read), past, self.compared(read)

    def compared(self, read: Tensor) -> Tensor:
        """Return the vectors (N, T, 32) of what became of tokens."""
        vectors: Tensor = self.project(read)
        length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
        return vectors / length

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return what the adapter consists of; everything else belongs to the base."""
        parts = [
            *(part for part in self.blocks.modules() if isinstance(part, LowRank)),
            self.project,
        ]
        return [one for part in parts for one in part.parameters()]
