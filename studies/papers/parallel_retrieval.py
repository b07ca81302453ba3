"""One cue raises several diluted patterns at once in a Hebbian network (2308.04106).

The entries of K patterns are 0 with probability d and otherwise +1 or -1; the couplings are those
of Hebb, J = sum over the patterns of xi xi' / N, without self-coupling. At zero noise the states
follow sigma = sign(J sigma). In the hierarchical state a neuron obeys the first pattern; where that
is 0 the second, and so on, so that pattern k has the amplitude

    m_k = (1 - d) d^(k - 1),

while weaker patterns together do not outvote a stronger one: d + d^2 + ... < 1. With more dilution
the amplitudes come near each other (parallel). Whether the network stays in that state is one
question; whether it gets there from the first pattern alone is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of

_PATTERNS = 4
_SWEEPS = 30
_INKS: tuple[Ink, ...] = ("a", "b", "cascade", "reference")

_DILUTIONS = np.arange(0.1, 0.951, 0.05)
#: The theory's amplitudes are asked for up to here, where its transition is far.
_MILD = 0.5
_STRONG = 0.9
#: Where three weaker patterns together are as strong as the first: d + d^2 + d^3 = 1.
TRANSITION = 0.5437
_NEAR_TRANSITION = np.arange(0.45, 0.6501, 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What a network shows at rest.

    Attributes:
        amplitudes: (K,) overlap with each pattern, the strongest first.
        obeyed: Share of the neurons, of those that the cue has an opinion on and all others
            oppose, that stay with the cue; 1 without such neurons.
    """

    amplitudes: NDArray[np.float64]
    obeyed: float


def retrieve(
    neurons: int, dilution: float, rng: np.random.Generator, *, cued: bool = False
) -> Retrieval:
    """Let a network come to rest.

    Args:
        neurons: N.
        dilution: Probability of a 0 in a pattern, 0..1.
        rng: Draws the patterns, and the beginning where no pattern says anything.
        cued: Whether it begins with the first pattern alone, not in the hierarchical state.
    """
    signs = rng.choice([-1.0, 1.0], size=(_PATTERNS, neurons))
    patterns = signs * (rng.random((_PATTERNS, neurons)) >= dilution)
    cue = patterns[0]
    state = rng.choice([-1.0, 1.0], size=neurons)
    for pattern in patterns[:1] if cued else patterns[::-1]:
        state = np.where(pattern == 0.0, state, pattern)
    self_coupling = np.square(patterns).sum(axis=0) / neurons
    for _ in range(_SWEEPS):
        field = (patterns @ state / neurons) @ patterns - self_coupling * state
        following = np.where(field == 0.0, state, np.sign(field))
        if np.array_equal(following, state):
            break
        state = following
    overlaps = patterns @ state / neurons
    opposed = (patterns[1:] * np.sign(overlaps[1:])[:, None] == -cue).all(axis=0) & (cue != 0.0)
    return Retrieval(
        amplitudes=np.sort(np.abs(overlaps))[::-1],
        obeyed=float((state == cue)[opposed].mean()) if opposed.any() else 1.0,
    )


def hierarchy(dilution: float) -> NDArray[np.float64]:
    """Return the amplitudes of the theory, (K,)."""
    return np.asarray((1.0 - dilution) * dilution ** np.arange(_PATTERNS), np.float64)


def _transition(neurons: int, rng: np.random.Generator) -> float:
    """Return the first dilution at which most opposed neurons leave the cue."""
    for dilution in _NEAR_TRANSITION:
        if retrieve(neurons, float(dilution), rng).obeyed < 0.5:
            return float(dilution)
    return 1.0


def measure(quick: bool) -> Findings:
    """Retrieve at every dilution, and look for the transition."""
    neurons, runs = (2_000, 2) if quick else (20_000, 20)
    rng = np.random.default_rng(0)
    shown, from_cue = (  # (dilutions, runs, K)
        np.array(
            [
                [retrieve(neurons, float(d), rng, cued=cued).amplitudes for _ in range(runs)]
                for d in _DILUTIONS
            ]
        )
        for cued in (False, True)
    )
    theory = np.array([hierarchy(float(d)) for d in _DILUTIONS])
    mild = _DILUTIONS <= _MILD + 1e-9
    off, cue_off = (
        np.abs(one - theory[:, None])[mild].max(axis=(0, 2)) for one in (shown, from_cue)
    )
    places = np.array([_transition(neurons, rng) for _ in range(runs)])
    strong = from_cue[int(np.abs(_DILUTIONS - _STRONG).argmin())]
    points = [[mean(shown[row, :, k]) for row in range(len(_DILUTIONS))] for k in range(_PATTERNS)]
    measured: Measured = {
        (f"pattern {k + 1}", f"d = {d:.2f}", "amplitude"): points[k][row]
        for k in range(_PATTERNS)
        for row, d in enumerate(_DILUTIONS)
    }
    curves = [
        Series(name="", x=_DILUTIONS, y=theory[:, k], ink=ink, marker="", line="-")
        for k, ink in enumerate(_INKS)
    ]
    dots = [
        Series(
            name=f"amplitude {k + 1}",
            x=_DILUTIONS,
            y=shown[:, :, k].mean(axis=1),
            ink=ink,
            intervals=points[k],
        )
        for k, ink in enumerate(_INKS)
    ]
    chart = Chart(
        title="Amplitudes of four patterns by dilution; lines are the theory",
        x=Axis(label="dilution d"),
        y=Axis(label="amplitude", low=0.0),
        series=[*curves, *dots],
    )
    return Findings(
        claims={
            "amplitudes": mean(off),
            "from the cue": mean(cue_off),
            "transition": mean(np.abs(places - TRANSITION)),
            "parallel": mean(strong[:, -1] / strong[:, 0]),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Parallel learning by multitasking neural networks",
        arxiv="2308.04106",
        claims={
            "amplitudes": Claim(
                text="Mild dilution: amplitudes (1-d) d^(k-1); largest error over four patterns "
                "and d = 0.1 to 0.5",
                relation="at most",
                threshold=0.03,
                published="(1-d) d^(k-1)",
            ),
            "from the cue": Claim(
                text="The same, from the first pattern alone",
                relation="at most",
                threshold=0.03,
                published="(1-d) d^(k-1)",
            ),
            "transition": Claim(
                text="The hierarchy ends where d + d^2 + d^3 = 1; distance from there",
                relation="at most",
                threshold=0.05,
                published="d = 0.544",
            ),
            "parallel": Claim(
                text="Strong dilution (d = 0.9): the weakest pattern is as strong as the strongest",
                threshold=0.9,
                published="same strength",
            ),
            "training": Claim(
                text="Supervised and unsupervised learning have the same thresholds",
                untested="only stored patterns, no noisy examples of them",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="A Hebbian network shows diluted patterns at once, with the amplitudes of the theory.",
    setting="One thread of a shared AMD EPYC; n = 20 networks of 20,000 neurons for each of 18 "
    "dilutions and two beginnings; 10 CPU-seconds.",
)
