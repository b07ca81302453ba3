"""What the same answers cost without a server: processor time of one in-process run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.loading import load_classifier
from edge.session import OnnxSession

#: How long a reference is run to learn what it costs at the moment.
_CALIBRATION_S = 0.25


class Reference(Protocol):
    """Something whose price is the unit of a request's price."""

    def processor_s(self) -> float:
        """Return the processor time of one run at this moment, in seconds."""


class NetworkReference:
    """One network on bare ONNX Runtime, one picture a run, one thread."""

    def __init__(self, graph: Path, images: NDArray[np.float32]) -> None:
        """Load a graph.

        Args:
            graph: ONNX file with the input ``image``.
            images: (N, C, H, W), run one after the other.
        """
        session = OnnxSession(graph.read_bytes(), name=graph.stem)
        self._runs = itertools.cycle([{"image": image[None]} for image in images])
        self._run: Callable[[Any, Any], object] = session.unwrapped.run

    def processor_s(self) -> float:
        """Return the mean over a quarter of a second."""
        return _mean_processor_s(lambda: self._run(None, next(self._runs)), runs=1)


class CascadeReference:
    """A cascade without a result memory, one picture a run."""

    def __init__(self, sidecar: Path, images: NDArray[np.uint8]) -> None:
        """Load a cascade.

        Args:
            sidecar: Of the cascade.
            images: (N, H, W, C); all of them are one calibration, since some cost more.
        """
        self._cascade = load_classifier(sidecar, memory="none")
        self._images = images
        self.escalated_share = float(
            np.mean([trace.stage == "b" for trace in self._cascade.predict(images).trace or ()])
        )

    def processor_s(self) -> float:
        """Return the mean over all images, again and again for a quarter of a second."""

        def run_all() -> None:
            for image in self._images:
                self._cascade.predict(image[None])

        return _mean_processor_s(run_all, runs=len(self._images))


def run_network(graph: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits (N, C) of images (N, C, H, W), each of which is a run of its own."""
    session = OnnxSession(graph.read_bytes(), name=graph.stem)
    return np.concatenate([session.run({"image": image[None]})["logits"] for image in images])


def _mean_processor_s(run: Callable[[], object], runs: int) -> float:
    run()  # what others left in the caches is not its fault
    count = 0
    begin_s, until_s = time.thread_time(), time.perf_counter() + _CALIBRATION_S
    while time.perf_counter() < until_s:
        run()
        count += runs
    return (time.thread_time() - begin_s) / count
