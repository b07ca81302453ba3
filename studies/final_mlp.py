"""Two perceptrons over the same features, joined by a bilinear sum (FinalMLP; arXiv 2304.00902).

Mao et al. 2023 predict clicks from embedded features e. Each stream k looks at them through gates
of its own, o_k = MLP_k(2 sigmoid(g_k) * e), and the answer adds to both streams' linear votes what
their outputs say together:

    b + w_1'o_1 + w_2'o_2 + sum over chunks c of o_1c' W_c o_2c

The gates here are learned constants, which is what the paper has where no context is given. Whether
the sum is worth its weights is tried where nothing but a product decides: y = sign(a'u b'v).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bicameral.statistics import mean_over_images
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.paper_tables import SUM_AHEAD, sum_is_worth_it
from studies.study import Study

_SIDE, _ROWS, _SEEDS = 10, 10_000, 3
_STEPS, _BATCH, _RATE = 600, 256, 3e-3

_SUM, _APART = "bilinear sum", "side by side"

#: Outputs of a stream, and hidden units with the sum and without it, so that weights are as many.
_SIZES = {"small": (8, 8, 9), "large": (16, 32, 35)}


class TwoStreams(nn.Module):
    """Features (N, features) to a score (N,).

    Args:
        features: Numbers that both streams see.
        hidden: Units of each stream's hidden layer.
        outputs: Numbers that each stream ends in.
        chunks: Parts into which they are cut for the bilinear sum; 0 leaves the sum and the gates
            out, so that the streams are only put side by side.
    """

    def __init__(self, *, features: int, hidden: int, outputs: int, chunks: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            for _ in range(2)
        )
        self.votes = nn.Linear(2 * outputs, 1)
        self.chunks = chunks
        if chunks:
            size = outputs // chunks
            self.gates = nn.Parameter(torch.zeros(2, features))
            together = torch.empty(chunks, size, size)
            self.together = nn.Parameter(nn.init.normal_(together, std=1.0 / size))

    def forward(self, e: Tensor) -> Tensor:
        """Return the score; its sign is the class."""
        seen = 2.0 * torch.sigmoid(self.gates) if self.chunks else (1.0, 1.0)
        first, second = (stream(gate * e) for stream, gate in zip(self.streams, seen, strict=True))
        score: Tensor = self.votes(torch.cat([first, second], dim=1))[:, 0]
        if not self.chunks:
            return score
        one, other = (x.unflatten(1, (self.chunks, -1)) for x in (first, second))
        return score + torch.einsum("nci,cij,ncj->n", one, self.together, other)


def run(folder: Path, quick: bool) -> int:
    """Train both forms, of two sizes, on planted products, and compare them."""
    torch.set_num_threads(1)
    measured: Measured = {}
    for size, (outputs, joined, apart) in _SIZES.items():
        right: dict[str, list[Tensor]] = {_SUM: [], _APART: []}
        for seed in range(1 if quick else _SEEDS):
            features, wanted = _planted(seed, 500 if quick else _ROWS)
            for name, hidden, chunks in ((_SUM, joined, 2), (_APART, apart, 0)):
                torch.manual_seed(seed)
                network = TwoStreams(
                    features=2 * _SIDE, hidden=hidden, outputs=outputs, chunks=chunks
                )
                count = sum(weight.numel() for weight in network.parameters())
                measured[name, size, "parameters"] = single(count)
                _fit(network, features[0], wanted[0], 5 if quick else _STEPS)
                with torch.inference_mode():
                    right[name].append((network(features[1]) > 0.0) == (wanted[1] > 0.5))
        correct = {name: torch.stack(found).double().numpy() for name, found in right.items()}
        for name, found in correct.items():
            measured[name, size, "accuracy"] = mean_over_images(found)
        measured[_SUM, size, SUM_AHEAD] = mean_over_images(np.subtract(*correct.values()))
    write_measurements(folder / "final_mlp.csv", measured)
    print_measurements(measured, title="final_mlp")
    return 0 if sum_is_worth_it(measured) else 1


STUDY = Study(
    claim="Where nothing but a product of two sums decides, a bilinear sum of two streams is five "
    "points more accurate than the streams side by side with as many weights.",
    setting="One thread of a shared AMD EPYC; n = 3 seeds of data and training, 10,000 rows to "
    "learn from and 10,000 others, 600 steps; a CPU-minute.",
    run=run,
)


def _planted(seed: int, rows: int) -> tuple[Tensor, Tensor]:
    """Return features (2, rows, 2 * side) and classes (2, rows): to learn from, and others."""
    draws = torch.Generator().manual_seed(seed)
    features = torch.randn(2, rows, 2 * _SIDE, generator=draws)
    first, second = torch.randn(2, _SIDE, generator=draws)
    product = (features[..., :_SIDE] @ first) * (features[..., _SIDE:] @ second)
    return features, (product > 0.0).float()


def _fit(network: nn.Module, features: Tensor, wanted: Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    for _ in range(steps):
        rows = torch.randint(0, len(features), (_BATCH,))
        loss = functional.binary_cross_entropy_with_logits(network(features[rows]), wanted[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
