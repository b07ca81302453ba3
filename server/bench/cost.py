"""Processor time of a request, over processor time of the same answer without a server.

The shipped models are served and asked. All cells are measured one after the other, again in
reverse, and again; before and after every load the same answers are computed in this process. So a
busy moment of the machine hits both.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import MachineError
from edge.loading import load_classifier
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from edge.shipped import weights_folder
from edge.sidecar import SUFFIX, read_sidecar
from server.bench.load import Load, drive
from server.bench.requests import binary_request, json_request, picture_request
from server.bench.running import RunningServer

#: A small network, one of some twenty times its cost, and a cascade with a memory.
SMALL, LARGE = "fashion_mnist_dual_branch", "fashion_mnist_wide_residual32"
CASCADE = "fashion_mnist_cascade"

#: How requests are written. The cascade remembers the pictures that are sent again and again.
BINARY, JSON, PICTURE, REMEMBERED = "V2 binary", "V2 JSON", "picture", "V2 binary, remembered"

#: Different pictures that are sent in turn.
_PICTURES = 64

#: How long the reference is run before and after a load.
_REFERENCE_S = 0.25

#: A cell begins with loads of this length that are not counted, until every request was answered.
_WARM_UP_S = 0.3

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One thing to measure.

    Attributes:
        server: Name of the server.
        model: Name of the model.
        form: How its requests are written.
        connections: Number of clients.
    """

    server: str
    model: str
    form: str
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One pass of a cell.

    Attributes:
        request_s: Processor time of all processes of the server, per request.
        reference_s: Processor time of the same answer in this process: the smaller of before and
            after, so that a neighbour can only make the server look worse.
        requests_per_s: Throughput.
        median_s: Median latency.
        p99_s: 99th percentile of the latency.
        answered: Answers with status 200.
        failed: Other ones, and requests without an answer.
    """

    request_s: float
    reference_s: float
    requests_per_s: float
    median_s: float
    p99_s: float
    answered: int
    failed: int

    @property
    def ratio(self) -> float:
        """A request in units of its answer."""
        return self.request_s / self.reference_s


def shipped_cells(server: str, remembering: str, clients: Sequence[int]) -> list[Cell]:
    """Return what the shipped models are asked.

    Args:
        server: Name of a server without result memories.
        remembering: Name of one whose cascade remembers.
        clients: Numbers of clients of the networks.
    """
    return [
        *(
            Cell(server=server, model=model, form=form, connections=number)
            for model in (SMALL, LARGE)
            for form in (BINARY, JSON, PICTURE)
            for number in clients
        ),
        Cell(server=server, model=CASCADE, form=BINARY, connections=8),
        Cell(server=remembering, model=CASCADE, form=REMEMBERED, connections=8),
    ]


def median_of(passes: Sequence[Cost], figure: Callable[[Cost], float]) -> float:
    """Return the median over the passes of a cell."""
    return statistics.median(map(figure, passes))


def measure_costs(
    servers: Mapping[str, RunningServer],
    loads: Executor,
    cells: Sequence[Cell],
    plan: tuple[int, float],
    progress: Progress,
) -> dict[Cell, list[Cost]]:
    """Measure cells, interleaved.

    Args:
        servers: Ready ones that serve the shipped models, by name.
        loads: A process in which loads are made.
        cells: What to measure.
        plan: How many passes, of which every second one runs in reverse, and seconds of each load.
        progress: Told (done, total, what comes next).

    Returns:
        The passes of each cell.
    """
    passes, duration_s = plan
    costs: dict[Cell, list[Cost]] = {cell: [] for cell in cells}
    requests = {(cell.model, cell.form): _requests(cell.model, cell.form) for cell in cells}
    references = {cell.model: _reference(cell.model) for cell in cells}
    total = passes * len(cells)
    order = [cell for number in range(passes) for cell in cells[:: -1 if number % 2 else 1]]
    for done, cell in enumerate(order):
        progress(done, total, f"{cell.server}: {cell.model}, {cell.form}, {cell.connections}")
        load = Load(
            port=servers[cell.server].port,
            requests=requests[cell.model, cell.form],
            connections=cell.connections,
            duration_s=duration_s,
        )
        costs[cell].append(_measure(servers[cell.server], loads, load, references[cell.model]))
    progress(total, total, "")
    return costs


def _measure(
    server: RunningServer, loads: Executor, load: Load, reference: Callable[[], float]
) -> Cost:
    warm, warming = 0, replace(load, duration_s=_WARM_UP_S)
    while warm < len(load.requests):
        result = loads.submit(drive, warming).result()
        if not result.answered:
            raise MachineError(
                f"{server.name} answers no request: statuses {result.statuses}; see its log"
            )
        warm += result.answered
    before_s = reference()
    begin_s = server.processor_s()
    result = loads.submit(drive, load).result()
    spent_s = server.processor_s() - begin_s
    return Cost(
        request_s=spent_s / max(result.answered + result.failed, 1),
        reference_s=min(before_s, reference()),
        requests_per_s=result.answered / result.duration_s,
        median_s=result.latency_s(0.5),
        p99_s=result.latency_s(0.99),
        answered=result.answered,
        failed=result.failed,
    )


def make_pictures(count: int = _PICTURES) -> NDArray[np.uint8]:
    """Return pictures (N, 28, 28, 1) uint8: blots, of which no two are alike."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count, 28, 28), np.uint8)
    return np.stack([cv2.GaussianBlur(one, (9, 9), 3.0) for one in noise])[..., None]


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 1) uint8 as a file."""
    return bytes(cv2.imencode(".png", picture)[1])


def _requests(model: str, form: str) -> list[bytes]:
    if form == REMEMBERED:
        return [binary_request(model, picture[None]) for picture in _sure_pictures(model)]
    pictures = make_pictures()
    if form == PICTURE:
        return [picture_request(model, png(picture)) for picture in pictures]
    inputs: NDArray[np.generic] = pictures if model == CASCADE else _tensors(model, pictures)
    write = json_request if form == JSON else binary_request
    return [write(model, one[None]) for one in inputs]


def _sure_pictures(model: str) -> NDArray[np.uint8]:
    """Return pictures that a cascade is sure enough of to remember them."""
    path = weights_folder() / f"{model}{SUFFIX}"
    cascade = read_sidecar(path).cascade
    if cascade is None or cascade.memory is None:
        raise MachineError(f"{model} remembers nothing")
    pictures = make_pictures(20 * _PICTURES)
    predicted = load_classifier(path, memory="none").predict(pictures)
    sure = predicted.confidence >= cascade.memory.store_min_confidence
    return pictures[sure][:_PICTURES]


def _reference(model: str) -> Callable[[], float]:
    """Return what measures the processor time of one answer in this process, at this moment."""
    path = weights_folder() / f"{model}{SUFFIX}"
    pictures = make_pictures()
    run: Callable[[], object]
    if model == CASCADE:
        cascade = load_classifier(path, memory="none")
        images = itertools.cycle([picture[None] for picture in pictures])
        run = lambda: cascade.predict(next(images))  # noqa: E731
    else:
        graph = path.with_name(f"{model}.onnx")
        session = OnnxSession(graph.read_bytes(), name=model).unwrapped
        feeds = itertools.cycle([{"image": one[None]} for one in _tensors(model, pictures)])
        run = lambda: session.run(None, next(feeds))  # noqa: E731
    return lambda: _processor_s(run)


def _processor_s(run: Callable[[], object]) -> float:
    for _ in range(_PICTURES):  # what others left in the caches is not its fault
        run()
    count = 0
    begin_s, until_s = time.thread_time(), time.perf_counter() + _REFERENCE_S
    while time.perf_counter() < until_s:
        for _ in range(_PICTURES):  # some pictures cost a cascade more than others
            run()
        count += _PICTURES
    return (time.thread_time() - begin_s) / count


def _tensors(model: str, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    spec = read_sidecar(weights_folder() / f"{model}{SUFFIX}").input
    return tensor_from_canonical(pictures, spec.image)
