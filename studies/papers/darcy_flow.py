"""Learning the flow through a medium: V-cycles against a U-Net and a Fourier layer (2310.19809).

Three networks of about 80,000 parameters learn, from the same solved examples, which flow a medium
has (`darcy_equation.py`). They have the same optimiser, epochs and batches; the learning rate of
each is the better of two on validation media after a third of the epochs. The solver that made
the examples competes, too: on the coarsest grid on which it errs no more than the best network.
One V-cycle network is written as `darcy_operator.onnx`, which `bicameral serve` takes as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import zoom
from torch import Tensor, nn

from bicameral.charts import Axis, Chart, Series, draw_chart
from bicameral.statistics import Estimate, mean
from models.networks.multigrid import MultigridOperator
from models.onnx_export import onnx_from_network
from studies.claims import Claim, Paper
from studies.measurements import Measured, single
from studies.paper_runs import Findings, study_of
from studies.papers.darcy_equation import Flows, coefficients, draw_flows, draw_media, solve
from studies.papers.darcy_networks import FourierOperator, UNet

_SIDE, _BATCH, _SEEDS = 32, 8, 3
_RATES = (1e-3, 4e-3)
_OURS = "MgNO"
_NETWORKS: dict[str, Callable[[], nn.Module]] = {
    _OURS: partial(MultigridOperator, channels=12, layers=3, levels=4),
    "U-Net": partial(UNet, 13),
    "FNO": partial(FourierOperator, 12, 6),
}
#: Seeds of the media; those of networks are 0, 1 and 2.
_LEARN, _VALIDATE, _JUDGE = 100, 101, 102


def measure(quick: bool) -> Findings:
    """Train every network at every seed, and judge them on media that none has seen."""
    count, epochs, seeds = (24, 1, 2) if quick else (400, 8, _SEEDS)
    learned = draw_flows(count, _SIDE, _LEARN)
    drawn = partial(draw_flows, scale=learned.scale)
    validation, judged = (drawn(count // 5 or 4, _SIDE, seed) for seed in (_VALIDATE, _JUDGE))
    finer = drawn(4 if quick else 50, 2 * _SIDE, _JUDGE)
    errors: dict[str, list[float]] = {}
    graphs: dict[str, bytes] = {}
    measured: Measured = {}
    for name, make in _NETWORKS.items():
        tried = {
            rate: _errors(_trained(make, learned, max(1, epochs // 3), rate, 0), validation).mean()
            for rate in _RATES
        }
        rate = min(tried, key=lambda one: tried[one])
        networks = [_trained(make, learned, epochs, rate, seed) for seed in range(seeds)]
        errors[name] = [float(_errors(one, judged).mean()) for one in networks]
        measured[name, "grid of the training", "relative error"] = mean(errors[name])
        measured[name, "grid twice as fine", "relative error"] = mean(
            [float(_errors(one, finer).mean()) for one in networks]
        )
        measured[name, "", "learning rate"] = single(rate)
        measured[name, "", "parameters"] = single(_parameters(networks[0]))
        measured[name, "batch 1", "CPU time"] = single(_cpu_ms(networks[0], judged), "ms")
        if name == _OURS:
            graphs["darcy_operator.onnx"] = onnx_from_network(
                networks[0], {"medium": torch.zeros(1, 1, _SIDE, _SIDE)}, ["flow"]
            )
        print(f"{name}: relative error {np.mean(errors[name]):.4f}, learning rate {rate:g}")
    best = min(float(np.mean(one)) for one in errors.values())
    measured |= _solver_as_good_as(best, 4 if quick else 50)
    ratios = {name: _ratio(errors[_OURS], errors[name]) for name in _NETWORKS if name != _OURS}
    points = [measured[name, "grid of the training", "relative error"] for name in _NETWORKS]
    chart = Chart(
        title="Relative error of the flow; the whisker is the interval over seeds",
        x=Axis(label="CPU time of a flow, ms", log=True),
        y=Axis(label="relative error", low=0.0),
        series=[
            Series(
                name="",
                x=[measured[name, "batch 1", "CPU time"].value or 0.0 for name in _NETWORKS],
                y=[one.value or 0.0 for one in points],
                labels=tuple(_NETWORKS),
                intervals=points,
            )
        ],
    )
    return Findings(
        claims={
            **{f"against {name}": one for name, one in ratios.items()},
            "against the solver": _by_solver(measured),
        },
        figure=draw_chart(chart),
        measured=measured,
        graphs=graphs,
    )


STUDY = study_of(
    Paper(
        title="MgNO: efficient parameterization of linear operators via multigrid",
        arxiv="2310.19809",
        claims={
            "against U-Net": Claim(
                text="Error of the flow relative to a U-Net's of equal size.",
                relation="at most",
                threshold=1.0,
            ),
            "against FNO": Claim(
                text="Error of the flow relative to that of a Fourier operator of equal size.",
                relation="at most",
                threshold=1.0,
                published="best of all that were compared on Darcy flow (abstract)",
            ),
            "against the solver": Claim(
                text="CPU time of a flow relative to that of the solver that made the examples, on "
                "the coarsest grid on which it errs no more.",
                relation="at most",
                threshold=1.0,
            ),
        },
        record=Path(__file__).with_name("darcy_flow.csv"),
    ),
    measure,
    claim="A network of learned V-cycles errs no more on Darcy flow than a U-Net and a Fourier "
    "operator with as many parameters.",
    setting="One thread of a shared AMD EPYC; n = 3 trainings of each network (seeds 0 to 2), 8 "
    "epochs of 400 media on a grid of 32, 80 test media; 4 CPU-minutes.",
)


def _trained(
    make: Callable[[], nn.Module], flows: Flows, epochs: int, rate: float, seed: int
) -> nn.Module:
    torch.manual_seed(seed)
    network = make()
    media, solutions = torch.from_numpy(flows.media), torch.from_numpy(flows.solutions)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    steps = epochs * (len(media) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        shuffled = torch.randperm(len(media))
        for start in range(0, steps // epochs * _BATCH, _BATCH):
            rows = shuffled[start : start + _BATCH]
            loss = _relative(network(media[rows]), solutions[rows]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def _relative(answers: Tensor, solutions: Tensor) -> Tensor:
    """Return the L2 norm of each error over that of the solution, (N,)."""
    off, whole = (
        torch.linalg.vector_norm(one.flatten(1), dim=1) for one in (answers - solutions, solutions)
    )
    ratio: Tensor = off / whole
    return ratio


@torch.no_grad()
def _errors(network: nn.Module, flows: Flows) -> NDArray[np.float32]:
    answers = network(torch.from_numpy(flows.media))
    off: NDArray[np.float32] = _relative(answers, torch.from_numpy(flows.solutions)).numpy()
    return off


@torch.no_grad()
def _cpu_ms(network: nn.Module, flows: Flows) -> float:
    one = torch.from_numpy(flows.media[:1])
    return _median_ms(lambda: network(one))


def _median_ms(call: Callable[[], object], times: int = 15) -> float:
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append((time.process_time() - start) * 1e3)
    return float(np.median(spent))


def _parameters(network: nn.Module) -> int:
    return sum(one.numel() * (2 if one.is_complex() else 1) for one in network.parameters())


def _ratio(ours: list[float], others: list[float]) -> Estimate:
    return mean([one / other for one, other in zip(ours, others, strict=True)])


def _by_solver(measured: Measured) -> Estimate:
    """Return the network's time by that of the solver on the first grid that errs no more."""
    ours = measured[_OURS, "grid of the training", "relative error"].value or 0.0
    grids = [grid for name, grid, what in measured if (name, what) == ("solver", "CPU time")]

    def error(grid: str) -> float:
        return measured["solver", grid, "relative error"].value or 0.0

    grid = next((one for one in grids if error(one) <= ours), grids[-1])
    took = measured["solver", grid, "CPU time"].value or 1.0
    return single((measured[_OURS, "batch 1", "CPU time"].value or 0.0) / took)


def _solver_as_good_as(error: float, count: int) -> Measured:
    """Measure the solver on the coarsest grid on which it errs no more than this."""
    media = [coefficients(one) for one in draw_media(count, _SIDE, _JUDGE)]
    exact = [solve(one) for one in media]
    measured: Measured = {}
    for side in (4, 8, 16, 32):
        ratio = _SIDE // side
        coarse = [one.reshape(side, ratio, side, ratio).mean(axis=(1, 3)) for one in media]
        off = [
            np.linalg.norm(zoom(solve(one), ratio, order=1, grid_mode=True, mode="nearest") - fine)
            / np.linalg.norm(fine)
            for one, fine in zip(coarse, exact, strict=True)
        ]
        measured["solver", f"grid of {side}", "relative error"] = mean([float(one) for one in off])
        measured["solver", f"grid of {side}", "CPU time"] = single(
            _median_ms(partial(solve, coarse[0])), "ms"
        )
        if np.mean(off) <= error:
            break
    return measured
