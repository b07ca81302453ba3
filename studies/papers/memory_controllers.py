"""A memory whose controller learns from predicted feedback, as fast and slow learning (2011.05438).

An LSTM with a matrix to read and to write sees pictures of five classes, whose names change from
episode to episode, and is told the name of each a step late. So it has to write what it was told,
and to read that when a picture like it comes. Feedback comes through the whole episode, or is cut
after every step, with and without a prediction of what was cut off. Beside them stands the read-out
of the zoo, which remembers the same pictures and learns nothing. Neither code nor figures of the
paper are public; task and sizes are ours. Pictures are features of `squeeze16`, which knows all ten
classes; the controllers learn with five of them and are judged with the other five.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bicameral.charts import Axis, Chart, Ink, Series, draw_chart
from bicameral.statistics import Estimate, mean
from edge.learning.read_out import BETA, Slots, read_out_scores
from models.heads.frozen_features import FrozenAnswers
from studies.claims import Claim, Paper
from studies.images import NEEDS
from studies.measurements import Measured
from studies.paper_runs import Findings, study_of
from studies.papers.feature_episodes import (
    STEPS,
    WAYS,
    Episodes,
    Pictures,
    draw_classes,
    draw_episodes,
    see_pictures,
)
from studies.papers.seeded import for_seeds
from studies.papers.synthetic_gradients import Synthesiser, backward_in_parts

#: Units of the LSTM; rows of its matrix, and numbers of a row.
_UNITS, _ROWS, _WIDTH = 64, 32, 32
_BLANK = (
    0.3  # size of what an episode finds in the matrix; rows that are alike are never told apart
)
_SHARPNESS = 10.0  # of addresses at the beginning; with 1, they hardly tell rows apart
_PREDICTOR = 128  # units of each of the predictor's hidden layers
_BATCH, _JUDGED = 32, 300  # episodes
_RATE = 3e-3  # of controllers and predictor
_CLIP = 5.0  # largest norm of a gradient
_SEEN_EVERY = 40  # batches between two points of a curve
_KNOWN = 2  # pictures of a class that an answer may build on, at least

#: Ways to learn: steps over which feedback comes, and whether the rest is predicted.
_FEEDBACK = {"whole": (STEPS, False), "cut": (1, False), "cut, predicted": (1, True)}
_INKS: dict[str, Ink] = {"whole": "a", "cut": "b", "cut, predicted": "cascade"}


class Controller(nn.Module):
    """An LSTM that reads from a matrix and then writes to it; its state (N, S) is h, c and it."""

    blank: Tensor
    size = 2 * _UNITS + _ROWS * _WIDTH

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(inputs, _UNITS)
        self.control = nn.Linear(_UNITS + inputs, 4 * _WIDTH + 2)
        self.answer = nn.Linear(_UNITS + _WIDTH, WAYS)
        self.register_buffer("blank", _BLANK * torch.randn(_ROWS * _WIDTH))

    def begin(self, count: int) -> Tensor:
        """Return the state with which every episode begins."""
        return torch.cat([torch.zeros(2 * _UNITS), self.blank]).expand(count, -1)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Go over inputs (T, N, I); return logits (T, N, 5) and the last state."""
        h, c, flat = torch.split(state, [_UNITS, _UNITS, _ROWS * _WIDTH], dim=1)
        matrix = flat.view(-1, _ROWS, _WIDTH)
        answers = []
        for one in inputs:
            h, c = self.cell(one, (h, c))
            sides = [_WIDTH, _WIDTH, _WIDTH, _WIDTH, 1, 1]
            control = self.control(torch.cat([h, one], dim=1))
            read, write, erase, add, keen, sharp = torch.split(control, sides, dim=1)
            found = torch.bmm(_address(matrix, read, keen).mT, matrix)[:, 0]
            at = _address(matrix, write, sharp)
            matrix = matrix + at * (add[:, None] - matrix * erase.sigmoid()[:, None])
            answers.append(self.answer(torch.cat([h, found], dim=1)))
        return torch.stack(answers), torch.cat([h, c, matrix.flatten(1)], dim=1)


def _address(matrix: Tensor, key: Tensor, sharper: Tensor) -> Tensor:
    """Return how much each row (N, R, 1) is meant by keys (N, W)."""
    rows, keys = (nn.functional.normalize(one, dim=-1, eps=1e-3) for one in (matrix, key))
    scores = _SHARPNESS * (1.0 + sharper.tanh()) * torch.bmm(rows, keys[..., None])[..., 0]
    return scores.softmax(dim=1)[..., None]


def right_when_known(answers: Tensor, episodes: Episodes) -> float:
    """Return the share of right answers (T, N, 5) where the class was seen often enough."""
    known = episodes.seen >= _KNOWN
    return float((answers.argmax(dim=2) == episodes.names)[known].double().mean())


def train_controller(
    pictures: Pictures, test: Episodes, batches: int, length: int, *, predicted: bool
) -> list[float]:
    """Train with feedback over `length` steps; return the accuracy on other classes as it grew."""
    controller = Controller(test.inputs.shape[2])
    predictor = Synthesiser(controller.size, _PREDICTOR, _RATE) if predicted else None
    optimizer = torch.optim.Adam(controller.parameters(), _RATE)
    found = []
    for batch in range(1, batches + 1):
        episodes = draw_episodes(pictures, _BATCH, turned=True)
        optimizer.zero_grad()
        firsts = range(0, STEPS, length)
        parts = [partial(_part, controller, episodes, slice(f, f + length)) for f in firsts]
        backward_in_parts(parts, controller.begin(_BATCH), predictor)
        nn.utils.clip_grad_norm_(controller.parameters(), _CLIP)
        optimizer.step()
        if batch % _SEEN_EVERY == 0 or batch == batches:
            with torch.no_grad():
                answers, _ = controller(test.inputs, controller.begin(test.names.shape[1]))
            found.append(right_when_known(answers, test))
    return found


def _part(
    controller: Controller, episodes: Episodes, steps: slice, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Go over some steps; return their part of the loss of whole episodes, and the next state."""
    answers, state = controller(episodes.inputs[steps], state)
    wanted = episodes.names[steps].flatten()
    loss = nn.functional.cross_entropy(answers.flatten(0, 1), wanted, reduction="sum")
    return loss / episodes.names.numel(), state


def read_out_alone(episodes: Episodes) -> float:
    """Return the accuracy of the read-out that remembers what came before in its episode."""
    count = episodes.names.shape[1]
    answers = torch.zeros(STEPS, count, WAYS)
    for episode in range(count):
        features, names = (of[:, episode].numpy() for of in (episodes.features, episodes.names))
        for t in range(1, STEPS):
            slots = Slots.of(features[:t], names[:t], WAYS)
            scores = read_out_scores(features[t : t + 1], slots, beta=BETA, scale=1.0)
            answers[t, episode] = torch.from_numpy(scores[0])
    return right_when_known(answers, episodes)


def _course(
    seen: tuple[FrozenAnswers, FrozenAnswers], batches: int, judged: int
) -> dict[str, list[float]]:
    """Return the accuracies of the three ways to learn, and of the read-out, for one seed."""
    pictures, judges, plain = draw_classes(*seen)
    test = draw_episodes(judges, judged)
    found = {"read-out": [read_out_alone(draw_episodes(plain, judged))]}
    for name, (length, predicted) in _FEEDBACK.items():
        found[name] = train_controller(pictures, test, batches, length, predicted=predicted)
    return found


def measure(quick: bool) -> Findings:
    """Train with whole, cut, and cut and predicted feedback; ask the read-out."""
    seeds, images, batches, judged = (2, 300, 2, 4) if quick else (3, 10_000, 320, _JUDGED)
    course = partial(_course, see_pictures(images), batches, judged)
    courses = for_seeds(range(seeds), course)
    seen = [float(min((k + 1) * _SEEN_EVERY, batches)) for k in range(len(courses[0]["whole"]))]

    curves: dict[str, list[Estimate]] = {
        name: [mean([one[name][place] for one in courses]) for place in range(len(seen))]
        for name in _INKS
    }
    measured: Measured = {("read-out", "", "accuracy"): mean([c["read-out"][0] for c in courses])}
    for name, curve in curves.items():
        for batch, one in zip(seen, curve, strict=True):
            measured[name, f"batch {batch:.0f}", "accuracy"] = one
    chart = Chart(
        title="Naming pictures of classes that were not trained on, from a memory",
        x=Axis(label="batches of 32 episodes"),
        y=Axis(label="accuracy where the class was seen twice", low=0.0, high=1.0),
        series=[
            Series(
                name=name,
                x=seen,
                y=[one.value or 0.0 for one in curve],
                ink=_INKS[name],
                line="-",
                intervals=curve,
            )
            for name, curve in curves.items()
        ],
    )
    last = [{name: values[-1] for name, values in one.items()} for one in courses]
    gaps = [(one["cut, predicted"] - one["cut"], one["whole"] - one["cut"]) for one in last]
    return Findings(
        claims={
            "recovered": mean([part / (whole or 1.0) for part, whole in gaps]),
            "read-out": mean([one["whole"] - one["read-out"] for one in last]),
        },
        figure=draw_chart(chart),
        measured=measured,
    )


STUDY = study_of(
    Paper(
        title="Fast & slow learning: incorporating synthetic gradients in neural memory "
        "controllers",
        arxiv="2011.05438",
        claims={
            "recovered": Claim(
                text="Predicted feedback makes up for cut feedback: share it wins back of what "
                "cutting costs in accuracy, classes not trained on",
                threshold=0.5,
                published="faster learning",
            ),
            "read-out": Claim(
                text="A controller that learned with whole feedback beats a read-out that learns "
                "nothing: accuracy more",
                published="not reported",
            ),
            "shared": Claim(
                text="Several memories may share one path of feedback",
                untested="one memory only",
            ),
        },
        record=Path(__file__).with_suffix(".csv"),
    ),
    measure,
    claim="A controller of a memory learns from predicted feedback what cut feedback does not "
    "teach.",
    setting="One thread of a shared AMD EPYC; n = 3 trainings (seeds 0 to 2) of each of 3 kinds, "
    "320 batches of 32 episodes of 20 pictures; 4 CPU-minutes.",
    needs=NEEDS,
)
