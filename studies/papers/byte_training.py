"""Byte models trained on the sources of the running Python's standard library.

They are always there. A record names the Python and what was read, and compares trainings with each
other only: perplexities of these texts say nothing of those in papers.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from models.networks.byte_model import ByteModel
from studies.measurements import Measured, single
from studies.papers.seeded import for_seeds, train

_CONTEXT, _WIDTH, _HEADS, _DEPTH = 128, 64, 4, 2
_BATCH = 16
_LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
#: Of 256 names, those of validation and of test.
_HELD = 26
_JUDGED_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long to train and how much text to judge.

    Attributes:
        steps: Of 16 texts of 128 bytes each.
        texts: As many of 128 bytes are judged.
        seeds: Trainings of each kind.
    """

    steps: int
    texts: int
    seeds: int


#: Of a full and of a quick run.
FULL = Budget(steps=250, texts=128, seeds=2)
QUICK = Budget(steps=2, texts=4, seeds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The sources, joined in the order of their names; a file is in one part, by its name's hash.

    Attributes:
        parts: Bytes, (N,) uint8, of "train", "validation" and "test".
        files: How many files there are.
        sha256: Over their names and contents.
    """

    parts: dict[str, Tensor]
    files: int
    sha256: str

    def described(self) -> Measured:
        """Return its sizes, under the Python that it came with and its hash."""
        which = f"Python {platform.python_version()}, SHA-256 {self.sha256[:16]}"
        sizes = {(f"corpus, {name}", which, "bytes"): len(one) for name, one in self.parts.items()}
        sizes["corpus", which, "files"] = self.files
        return {key: single(size) for key, size in sizes.items()}


@cache
def standard_library() -> Corpus:
    """Read the sources of the running Python, without its tests and what was installed."""
    root = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(_sources(root))
    parts: dict[str, list[bytes]] = {"train": [], "validation": [], "test": []}
    everything = hashlib.sha256()
    for name in names:
        content = (root / name).read_bytes()
        everything.update(f"{name}\0{len(content)}\0".encode() + content)
        place = hashlib.sha256(name.encode()).digest()[0] // _HELD
        parts["validation" if place == 0 else "test" if place == 1 else "train"].append(content)
    joined = {part: bytearray(b"".join(contents)) for part, contents in parts.items()}
    tensors = {part: torch.frombuffer(one, dtype=torch.uint8) for part, one in joined.items()}
    return Corpus(parts=tensors, files=len(names), sha256=everything.hexdigest())


def _sources(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        inside = Path(folder).relative_to(root)
        yield from ((inside / name).as_posix() for name in files if name.endswith(".py"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained model, in evaluation mode, and the CPU time of a step in ms."""

    model: ByteModel
    step_ms: float


def train_byte_model(kind: str, rate: float, budget: Budget, seed: int) -> Trained:
    """Train a model of a kind at a constant rate; same seed, same texts."""
    text = standard_library().parts["train"]
    drawn = torch.Generator().manual_seed(seed)

    def fit() -> Trained:
        model = ByteModel(kind, context=_CONTEXT, width=_WIDTH, heads=_HEADS, depth=_DEPTH)

        def loss(_: int) -> Tensor:
            starts = torch.randint(len(text) - _CONTEXT, (_BATCH,), generator=drawn)
            return _nats(model, _texts(text, starts))

        begin = time.process_time()
        train(model.parameters(), loss, budget.steps, rate)
        step_ms = (time.process_time() - begin) * 1e3 / budget.steps
        return Trained(model=model.eval(), step_ms=step_ms)

    return for_seeds([seed], fit)[0]


@torch.no_grad()
def bits_per_byte(model: ByteModel, part: str, budget: Budget) -> float:
    """Return the cross-entropy on texts that are spread evenly over a part of the corpus."""
    text = standard_library().parts[part]
    starts = torch.linspace(0, len(text) - _CONTEXT - 1, budget.texts).long()
    nats = 0.0
    for first in range(0, len(starts), _JUDGED_AT_ONCE):
        some = starts[first : first + _JUDGED_AT_ONCE]
        nats += float(_nats(model, _texts(text, some))) * len(some)
    return nats / len(starts) / math.log(2.0)


def parameters(model: ByteModel) -> int:
    """Count what is trained."""
    return sum(one.numel() for one in model.parameters())


def _texts(text: Tensor, starts: Tensor) -> Tensor:
    """Return texts of one byte more than the context, (N, context + 1) int64."""
    return text[starts[:, None] + torch.arange(_CONTEXT + 1)].long()


def _nats(model: ByteModel, texts: Tensor) -> Tensor:
    logits = model(texts[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), texts[:, 1:].flatten())
