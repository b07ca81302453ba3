"""Pictures as sequences of patches, which the blocks of the byte model read to name what they show.

Smaller patches make the same picture a longer sequence. All see the same pictures in the same
order, far from enough to be at their best, so accuracies say something of each other only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.data.dataset import LabelledImages
from models.mixers.attention import HeadShape
from models.networks.byte_model import BYTE_BLOCKS
from models.networks.mixed_transformer import MixedBlock
from studies.images import fashion_mnist
from studies.papers.seeded import for_seeds, train

_WIDTH, _HEADS, _DEPTH = 32, 4, 2
_BATCH = 32
_RATE = 3e-3
_CLASSES = 10
_SIDE = 28
_STD = 0.02  # of the embeddings of places at the beginning

#: Pictures (N, 28, 28) around 0, and their classes (N,).
Pictures = tuple[Tensor, Tensor]


def load_pictures(train_count: int, test_count: int) -> tuple[Pictures, Pictures]:
    """Load so many pictures to train with and to test with."""
    dataset = fashion_mnist(max(train_count, test_count))

    def first(part: LabelledImages, count: int) -> Pictures:
        pixels = torch.from_numpy(part.images[:count, ..., 0]).float()
        return pixels / 255.0 - 0.5, torch.from_numpy(part.labels[:count])

    return first(dataset.train, train_count), first(dataset.test, test_count)


class PictureReader(nn.Module):
    """Reads the patches of a picture row by row; the mean over them says what it shows.

    Args:
        kind: Name in `BYTE_BLOCKS`.
        patch: Side of a patch in pixels.
    """

    def __init__(self, kind: str, patch: int) -> None:
        super().__init__()
        tokens = (_SIDE // patch) ** 2
        shape = HeadShape(tokens=tokens, heads=_HEADS, width=_WIDTH, causal=True)
        self.patches = nn.Unfold(patch, stride=patch)
        self.embed = nn.Linear(patch**2, _WIDTH)
        self.places = nn.Parameter(nn.init.trunc_normal_(torch.empty(tokens, _WIDTH), std=_STD))
        self.blocks = nn.ModuleList(MixedBlock(shape, BYTE_BLOCKS[kind]) for _ in range(_DEPTH))
        self.norm, self.head = nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, _CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, 10) of pictures (N, 28, 28)."""
        x: Tensor = self.embed(self.patches(pictures[:, None]).transpose(1, 2)) + self.places
        for block in self.blocks:
            x = block(x)[0]
        logits: Tensor = self.head(self.norm(x).mean(dim=1))
        return logits


def accuracies(
    kind: str, patch: int, data: tuple[Pictures, Pictures], steps: int, seeds: int
) -> list[float]:
    """Return the accuracy on test pictures after a short training, for each seed."""
    (pictures, labels), (others, wanted) = data

    def fit() -> float:
        reader = PictureReader(kind, patch)

        def loss(_: int) -> Tensor:
            drawn = torch.randint(len(pictures), (_BATCH,))
            return functional.cross_entropy(reader(pictures[drawn]), labels[drawn])

        train(reader.parameters(), loss, steps, _RATE)
        with torch.no_grad():
            answers = torch.cat([reader(part) for part in torch.split(others, 100)])
        return float((answers.argmax(dim=1) == wanted).double().mean())

    return for_seeds(range(seeds), fit)
