"""Whether a network gets slow units or slow circuits, by what it learns at a time (2309.12927).

A recurrent network of leaky units, each with a time constant tau >= 1 that is learned, tells the
parity of the last N bits, first for N = 2, and for one more as soon as it is right in 98 %. With a
single head it learns one N after the other; with many heads it keeps answering for all N so far.
Equation, bits and lessons are the paper's; here 64 units learn by Adam, there 500 by plain descent
at the rate 0.05.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of
from studies.papers.seeded import for_seeds

_UNITS = 64
_BATCH = 128
_SMALLEST = 2
_RATE = 1e-3
_CLIP = 2.0
_LEARNED = 0.98
_KEPT = 0.98
_LAGS = 30
_TAUS = np.geomspace(0.1, 100.0, 300)
_INKS: dict[str, Ink] = {"single": "a", "multi": "b"}


class LeakyNetwork(nn.Module):
    """Leaky units with time constants of their own, and a linear head for each parity."""

    others: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(1, _UNITS)
        self.within = nn.Linear(_UNITS, _UNITS)
        self.tau = nn.Parameter(1.0 + torch.rand(_UNITS))
        self.heads = nn.Linear(_UNITS, heads)
        self.register_buffer("others", 1.0 - torch.eye(_UNITS))

    def forward(self, bits: Tensor) -> Tensor:
        """Return the states (T, B, U) for bits (T, B) of 0 and 1; no unit feeds itself."""
        drive = self.inputs(bits[:, :, None])
        share = 1.0 / self.tau.clamp(min=1.0)
        weights = (self.within.weight * self.others).T * share
        state = 0.1 * torch.rand(bits.shape[1], _UNITS)
        states = []
        for now in share * (drive + self.within.bias):
            mixed = torch.addmm(now, state, weights) + (1.0 - share) * state
            state = nn.functional.leaky_relu(mixed)
            states.append(state)
        return torch.stack(states)


def draw_bits(steps: int, count: int) -> Tensor:
    """Draw bits (T, B); how often they are 1 is drawn anew for every batch."""
    return (torch.rand(steps, count) < torch.rand(1)).float()


def parities(bits: Tensor, n: int, first: int) -> Tensor:
    """Return whether the last `n` of bits (T, B) have an odd sum, from step `first` on."""
    return bits.unfold(0, n, 1).sum(dim=2)[first - n + 1 :] % 2


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a network was like when it had learned N, by N, and what it knows in the end.

    Attributes:
        tau: Mean time constant of its units.
        tau_net: That of their activity, see `slowness`.
        right: How often it was right of late, of the head that does worst.
        recalled: By smaller N, how often it is right now: its heads, and new ones on its states.
    """

    tau: dict[int, float] = field(default_factory=dict)
    tau_net: dict[int, float] = field(default_factory=dict)
    right: dict[int, float] = field(default_factory=dict)
    recalled: dict[int, tuple[float, float]] = field(default_factory=dict)


def slowness(network: LeakyNetwork, steps: int) -> float:
    """Return the mean over the units of the time constant of their autocorrelation.

    Of each the exponential that is 1 at lag 0 and fits best. The paper fits its height, too, or two
    exponentials of which the slower counts; where nothing is left at lag 1, that is up to chance.
    """
    with torch.no_grad():
        bits = (torch.rand(steps + 50, 50) < torch.rand(50)).float()
        states = network(bits)[50:].double().numpy()
    states = states - states.mean(axis=0)
    products = np.stack(
        [(states[lag:] * states[: steps - lag]).mean(axis=(0, 1)) for lag in range(_LAGS + 1)]
    )
    curves = (products / products[0])[:, products[0] > 1e-9]  # (lags, units)
    shapes = np.exp(-np.arange(_LAGS + 1) / _TAUS[:, None])
    missed = ((shapes[..., None] - curves) ** 2).sum(axis=1)
    return float(_TAUS[missed.argmin(axis=0)].mean())


def recall(network: LeakyNetwork, n: int, head: int) -> tuple[float, float]:
    """Return how often a head tells the parity of `n`, and how often a new linear head does."""
    with torch.no_grad():
        bits = (torch.rand(40, 200) < 0.5).float()
        states = network(bits)[9:]
        odd = parities(bits, n, 9) > 0.5
        own = (network.heads(states)[..., head] > 0.0) == odd
        known = torch.cat([states, torch.ones_like(states[..., :1])], dim=2).double()
        a, b = known[:, :100].flatten(0, 1), known[:, 100:].flatten(0, 1)
        gram = a.T @ a + 1e-3 * torch.eye(a.shape[1], dtype=a.dtype)
        fitted = torch.linalg.solve(gram, a.T @ (2.0 * odd[:, :100].flatten().double() - 1.0))
        new = (b @ fitted > 0.0) == odd[:, 100:].flatten()
    return float(own.double().mean()), float(new.double().mean())


def learn(largest: int, most_steps: int, *, many_heads: bool) -> Lessons:
    """Learn parities up to `largest`, each in `most_steps` at most."""
    network = LeakyNetwork(largest - _SMALLEST + 1 if many_heads else 1)
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    found = Lessons()
    for n in range(_SMALLEST, largest + 1):
        asked = range(_SMALLEST, n + 1) if many_heads else range(n, n + 1)
        right, step = 0.5, 0
        while step < most_steps and right < _LEARNED:
            length = n + 2 + int(torch.randint(3 * n // 2, (1,)))
            bits = draw_bits(length, _BATCH)
            answers = network.heads(network(bits)[-1])[:, : len(asked)]
            odd = torch.cat([parities(bits, one, length - 1) for one in asked]).T
            loss = nn.functional.binary_cross_entropy_with_logits(answers, odd)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimizer.step()
            now = ((answers > 0.0) == (odd > 0.5)).double().mean(dim=0)
            right = _KEPT * right + (1.0 - _KEPT) * float(now.min())
            step += 1
        found.tau[n] = float(network.tau.detach().clamp(min=1.0).mean())
        found.tau_net[n] = slowness(network, 400)
        found.right[n] = right
    for place, old in enumerate(range(_SMALLEST, largest)):
        found.recalled[old] = recall(network, old, place if many_heads else 0)
    return found


def measure(quick: bool) -> Findings:
    """Go through both kinds of lessons."""
    seeds, largest, most_steps = (2, 3, 15) if quick else (3, 6, 6_000)
    lessons = {
        "single": for_seeds(range(seeds), lambda: learn(largest, most_steps, many_heads=False)),
        "multi": for_seeds(range(seeds), lambda: learn(largest, most_steps, many_heads=True)),
    }
    measured: Measured = {}
    series = []
    numbers = range(_SMALLEST, largest + 1)
    for kind, of in lessons.items():
        for n in numbers:
            measured[f"{kind}-head", f"N {n}", "tau"] = mean([one.tau[n] for one in of], "steps")
            measured[f"{kind}-head", f"N {n}", "tau_net"] = mean(
                [one.tau_net[n] for one in of], "steps"
            )
            measured[f"{kind}-head", f"N {n}", "right"] = mean([one.right[n] for one in of])
        for n in numbers[:-1]:
            for place, head in enumerate(("own head", "new head")):
                measured[f"{kind}-head", f"N {n}", f"right in the end, {head}"] = mean(
                    [one.recalled[n][place] for one in of]
                )
        for quantity, line in (("tau", "-"), ("tau_net", "--")):
            found = [measured[f"{kind}-head", f"N {n}", quantity] for n in numbers]
            series.append(
                Series(
                    name=f"{quantity}, {kind}-head",
                    x=[float(n) for n in numbers],
                    y=[one.value or 0.0 for one in found],
                    ink=_INKS[kind],
                    line=line,
                    intervals=found,
                )
            )
    single, multi = lessons["single"], lessons["multi"]
    return Findings(
        claims={
            "slow units": mean([one.tau[largest] / one.tau[_SMALLEST] for one in single]),
            "forgotten": mean([_mean_recalled(one, 0) for one in single]),
            "lost": mean([_mean_recalled(one, 1) for one in single]),
            "fast units": mean([one.tau[largest] for one in multi], "steps"),
            "slow circuits": mean([one.tau_net[largest] / one.tau_net[_SMALLEST] for one in multi]),
        },
        figure=draw_chart(
            Chart(
                title="Time constants of units and of their activity after parities up to N",
                x=Axis(label="N"),
                y=Axis(label="time constant, steps", low=0.0),
                series=series,
            )
        ),
        measured=measured,
    )


def _mean_recalled(lessons: Lessons, place: int) -> float:
    return float(np.mean([one[place] for one in lessons.recalled.values()]))


STUDY = study_of(
    Paper(
        title="Emergent mechanisms for long timescales depend on training curriculum and affect "
        "performance in memory tasks",
        arxiv="2309.12927",
        claims={
            "slow units": Claim(
                text="One head, one N after the other: units become slower; mean tau at N = 6 by "
                "that at N = 2",
                threshold=1.0,
                published="grows with N",
            ),
            "forgotten": Claim(
                text="It forgets: share right for N = 2 to 5 after N = 6, by the head as it is",
                relation="at most",
                threshold=0.6,
                published="catastrophic forgetting",
            ),
            "lost": Claim(
                text="Nor can a new linear head read the old parities: share right for N = 2 to 5",
                relation="at most",
                threshold=0.75,
                published="not reported",
            ),
            "fast units": Claim(
                text="Many heads, all N so far: units stay fast; mean tau at N = 6",
                relation="at most",
                threshold=1.3,
                published="stays small",
            ),
            "slow circuits": Claim(
                text="Many heads: the activity becomes slower; tau_net at N = 6 by that at N = 2",
                threshold=1.0,
                published="grows with N",
            ),
            "driver": Claim(
                text="A driving network that learns several delays at once steers better",
                untested="it got no head with a memory, since the study `cerebellum` shows no gain",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="A network that learns one memory task after the other gets slow units, one that has to "
    "keep all of them gets slow circuits of fast units.",
    setting="One thread of a shared AMD EPYC; n = 3 trainings (seeds 0 to 2) of each kind, 64 "
    "units, N = 2 to 6; 2 CPU-minutes.",
)
