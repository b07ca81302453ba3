"""`bicameral bench models`: latency percentiles and CPU time of models, side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bicameral.cli.model_samples import read_samples
from bicameral.errors import ConfigError
from bicameral.tables import print_table, table_of
from edge.latency import USUAL_LATENCY, Contestant, Latency, measure_latency
from edge.shipped import shipped_models
from edge.subject import GraphSubject, load_subject

#: Different images per contestant: a cascade's cost depends on which ones need its second network.
_IMAGES = 256


def bench_models(
    *,
    models: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    threads: str = "1",
    batch: str = "1",
) -> int:
    """Measure models in interleaved rounds: wall percentiles per call, CPU time per image.

    Each model is measured whole (canonical pictures in, calibrated answer out; a cascade without
    its memory), and a single network also as the bare graph (tensors in, tensors out). It is shown
    validation images of what it was trained on if that is known by name, else random images. Wall
    times of a busy machine mean little; CPU times and their ratios within the run hold.

    Args:
        models: Names of shipped models, .onnx files or sidecars; all that ship by default.
        threads: Threads of ONNX Runtime, several with commas: 1,2.
        batch: Batch sizes, several with commas: 1,8.
    """
    names = models or tuple(shipped_models())
    contestants: list[Contestant] = []
    labels: list[tuple[str, int]] = []
    for name in names:
        for count in _numbers("threads", threads):
            for one in _contestants(name, count, _numbers("batch", batch)):
                contestants.append(one)
                labels.append((name, count))
    latencies = measure_latency(contestants)
    print_table(
        table_of(
            f"{USUAL_LATENCY.rounds} interleaved rounds of {USUAL_LATENCY.turn_s} s",
            (
                *("model", "what", "threads", "batch", "calls"),
                *("p50 µs", "p90 µs", "p99 µs", "CPU µs/image", "range"),
            ),
            [
                (Path(name).name, latency.title, count, *_cells(latency))
                for (name, count), latency in zip(labels, latencies, strict=True)
            ],
            words=2,
        )
    )
    return 0


def _contestants(name: str, threads: int, batches: tuple[int, ...]) -> list[Contestant]:
    """Return the contestants of one model: whole and, if it is one network, its bare graph."""
    subject = load_subject(name, threads=threads)
    samples = read_samples(subject.sidecar, None, "validation", _IMAGES)
    found: list[Contestant] = []
    for size in batches:
        call = _rotating(partial(subject.answer, samples), len(samples), size)
        found.append(Contestant(title="whole", call=call, batch_size=size))
        if isinstance(subject, GraphSubject):
            run = partial(subject.session.run, samples.feeds(subject.sidecar, 0, size))
            found.append(Contestant(title="graph", call=run, batch_size=size))
    return found


def _rotating(answer: Callable[[int, int], object], count: int, size: int) -> Callable[[], object]:
    """Return a call that takes the next batch of the samples every time."""
    place = 0

    def call() -> object:
        nonlocal place
        start = place if place + size <= count else 0
        place = start + size
        return answer(start, start + size)

    return call


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"--{flag} is {text!r}, expected whole numbers from 1, e.g. 1,2")
    return numbers


def _cells(latency: Latency) -> tuple[str, ...]:
    return (
        str(latency.batch_size),
        str(latency.calls),
        *(f"{value:.0f}" for value in (latency.p50_us, latency.p90_us, latency.p99_us)),
        f"{latency.cpu_us:.0f}",
        f"{latency.least_cpu_us:.0f}-{latency.most_cpu_us:.0f}",
    )
