"""A recurrent network whose missing feedback is predicted, as a cerebellum might (2110.11501).

An LSTM (the cortex) draws one of 7 lines in 10 steps after it has seen a number at the first; only
every second step has a target. Where the backward pass through time is cut, the gradient that the
future would send to the state is missing; a perceptron (the cerebellum) predicts it from the state.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import mean
from studies.claims import Claim, Paper
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of
from studies.papers.seeded import for_seeds
from studies.papers.synthetic_gradients import Synthesiser, backward_in_parts

_LINES, _STEPS = 7, 10
_UNITS, _CEREBELLUM = 50, 128
_BATCH = 50
_RATE = 3e-3
_CLIP = 1.0
_NOISE = 0.1
_SEEN_EVERY = 200
_INKS: dict[str, Ink] = {"whole": "a", "cut": "b", "cut, predicted": "cascade"}


def draw_lines(count: int) -> tuple[Tensor, Tensor]:
    """Draw inputs (T, N, 1) and the places to be drawn (T, N, 2), on lines of length 1."""
    line = torch.randint(_LINES, (count,))
    angle = 2.0 * torch.pi * line / _LINES
    ends = torch.stack([angle.cos(), angle.sin()], dim=1)
    inputs = _NOISE * torch.randn(_STEPS, count, 1)
    inputs[0, :, 0] = 0.1 * line
    return inputs, torch.arange(1, _STEPS + 1)[:, None, None] / _STEPS * ends


class Cortex(nn.Module):
    """An LSTM with a linear read-out; its state (N, 2 S) is h and c side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(1, _UNITS)
        self.read = nn.Linear(_UNITS, 2)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Go over inputs (T, N, 1); return the places (T, N, 2) and the last state."""
        h, c = state[:, :_UNITS], state[:, _UNITS:]
        hidden = []
        for one in inputs:
            h, c = self.cell(one, (h, c))
            hidden.append(h)
        return self.read(torch.stack(hidden)), torch.cat([h, c], dim=1)


def loss_of(places: Tensor, targets: Tensor, first: int) -> Tensor:
    """Return the squared error of the steps that have a target, by all such steps of a line."""
    told = torch.arange(first, first + len(places)) % 2 == 1
    return (places - targets)[told].square().sum() / (targets.shape[1] * _STEPS)


def go_over(cortex: Cortex, cerebellum: Synthesiser | None, length: int) -> None:
    """Collect the gradient of a batch of lines, cut after every `length` steps."""
    inputs, targets = draw_lines(_BATCH)

    def part(first: int, state: Tensor) -> tuple[Tensor, Tensor]:
        steps = slice(first, first + length)
        places, state = cortex(inputs[steps], state)
        return loss_of(places, targets[steps], first), state

    parts = [partial(part, first) for first in range(0, _STEPS, length)]
    backward_in_parts(parts, torch.zeros(_BATCH, 2 * _UNITS), cerebellum)


def train_cortex(batches: int, length: int, *, predicted: bool) -> list[float]:
    """Train, and return the squared error on fresh lines every few batches."""
    cortex = Cortex()
    cerebellum = Synthesiser(2 * _UNITS, _CEREBELLUM, _RATE) if predicted else None
    optimizer = torch.optim.Adam(cortex.parameters(), _RATE)
    test_inputs, test_targets = draw_lines(700)
    errors = []
    for batch in range(1, batches + 1):
        optimizer.zero_grad()
        go_over(cortex, cerebellum, length)
        nn.utils.clip_grad_norm_(cortex.parameters(), _CLIP)
        optimizer.step()
        if batch % _SEEN_EVERY == 0 or batch == batches:
            with torch.no_grad():
                places, _ = cortex(test_inputs, torch.zeros(700, 2 * _UNITS))
                errors.append(float((places - test_targets).square().mean()))
    return errors


def measure(quick: bool) -> Findings:
    """Train with whole, cut, and cut and predicted feedback."""
    seeds, batches = (2, 10) if quick else (5, 2000)
    ways = {"whole": (_STEPS, False), "cut": (1, False), "cut, predicted": (1, True)}
    errors = {
        name: for_seeds(range(seeds), partial(train_cortex, batches, length, predicted=predicted))
        for name, (length, predicted) in ways.items()
    }
    seen = [float(min((k + 1) * _SEEN_EVERY, batches)) for k in range(len(errors["whole"][0]))]
    measured: Measured = {
        (name, f"batch {batch:.0f}", "squared error"): mean([one[place] for one in of])
        for name, of in errors.items()
        for place, batch in enumerate(seen)
    }
    chart = Chart(
        title="Drawing lines with feedback that is whole, cut at every step, or cut and predicted",
        x=Axis(label="batches of 50 lines"),
        y=Axis(label="squared error on fresh lines", low=0.0),
        series=[
            Series(
                name=name,
                x=seen,
                y=[measured[name, f"batch {b:.0f}", "squared error"].value or 0.0 for b in seen],
                ink=ink,
                line="-",
                intervals=[measured[name, f"batch {b:.0f}", "squared error"] for b in seen],
            )
            for name, ink in _INKS.items()
        ],
    )
    whole, cut, predicted = ([one[-1] for one in of] for of in errors.values())
    return Findings(
        claims={
            "better": mean([a / b for a, b in zip(predicted, cut, strict=True)]),
            "as whole": mean([a / b for a, b in zip(predicted, whole, strict=True)]),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Cortico-cerebellar networks as decoupling neural interfaces",
        arxiv="2110.11501",
        claims={
            "better": Claim(
                text="Predicted feedback makes up for cut feedback: squared error by that with "
                "cut feedback alone, one step",
                relation="at most",
                threshold=0.75,
                published="faster learning, smaller errors",
            ),
            "as whole": Claim(
                text="It comes near whole feedback: squared error by that with whole feedback",
                relation="at most",
                threshold=1.5,
                published="near it",
            ),
            "driver": Claim(
                text="A driving network with such a head steers better than from single frames",
                untested="the head was to be built only if the claims above held",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="A network that predicts its missing feedback learns what cut feedback does not teach.",
    setting="One thread of a shared AMD EPYC; n = 5 trainings (seeds 0 to 4) of each of 3 kinds, "
    "2,000 batches of 50 lines; 8 CPU-minutes.",
)
