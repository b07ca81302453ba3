"""What a cascade adds to its networks: CPU time of gate, combination and trace per image.

The members are timed inside the cascade's own calls, so both figures come from the same calls on
the same images, with the caches as the networks leave them. The gate's figure holds what timing the
networks costs, about one microsecond per call of a network. There is no result memory.

The whole call stands beside the same cascade written out by hand: bare runs of ONNX Runtime on the
same images with the numpy that they need (tensor, softmax, gate and mean), and beside these runs
alone on tensors that are there already. The three take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bicameral.protocols import ClassifierSession
from bicameral.statistics import Estimate, median, share
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier
from edge.session import OnnxSession
from edge.shipped import weights_folder
from edge.sidecar import read_model_bytes, read_sidecar
from models.cascade.deployed import load_deployed
from models.data.sources import load_dataset
from studies.measurements import Measured, print_measurements, write_measurements
from studies.study import Study

#: Images per call, and how many times the pair by hand a call may cost.
MOST = {1: 1.15, 32: 1.05}
BATCHES = tuple(MOST)
IMAGES, ROUNDS = 256, 28


class _Stopwatch:
    """A classifier that adds up the CPU time of its predictions and the images it was given."""

    def __init__(self, classifier: ClassifierSession) -> None:
        self._classifier = classifier
        self.busy_s, self.images = 0.0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def predict(self, images: NDArray[np.uint8]) -> Prediction:
        begin_s = time.thread_time()
        prediction = self._classifier.predict(images)
        self.busy_s += time.thread_time() - begin_s
        self.images += len(images)
        return prediction


def measure_gate(
    cascade: CascadeClassifier, images: NDArray[np.uint8], size: int, rounds: int = ROUNDS
) -> dict[str, Estimate]:
    """Measure a cascade; its own result memory is left out.

    Args:
        cascade: The cascade; it stays as it is.
        images: (N, H, W, C) uint8 of the kind it will see, since they decide how often B runs.
        size: Images per call; a last, smaller batch is left out.
        rounds: Passes over the images.
    """
    watches = [_Stopwatch(member) for member in cascade.members]
    timed = CascadeClassifier(cast(list[ClassifierSession], watches), cascade.policy)
    timed.warm_up((size,))
    starts = range(0, len(images) - size + 1, size)
    count = len(starts) * size
    gate_us, networks_us = [], []
    for _ in range(rounds):
        for watch in watches:
            watch.busy_s, watch.images = 0.0, 0
        begin_s = time.thread_time()
        for start in starts:
            timed.predict(images[start : start + size])
        networks_s = sum(watch.busy_s for watch in watches)
        gate_us.append(1e6 * (time.thread_time() - begin_s - networks_s) / count)
        networks_us.append(1e6 * networks_s / count)
    return {
        "share_b": share(watches[1].images, count),
        "gate_us": median(gate_us, "us"),
        "networks_us": median(networks_us, "us"),
        "ratio": median([gate / own for gate, own in zip(gate_us, networks_us, strict=True)]),
    }


class _PlainCascade:
    """A cascade as a few lines of numpy around ONNX Runtime's own sessions."""

    def __init__(self, folder: Path, cascade: CascadeClassifier) -> None:
        """Open the networks of a cascade in a folder, of grey images; it averages answers."""
        self._sidecars = [read_sidecar(folder / f"{one.info.name}.onnx") for one in cascade.members]
        self._sessions = [
            OnnxSession(read_model_bytes(folder / one.name, one), name=one.name).unwrapped
            for one in self._sidecars
        ]
        self._policy = cascade.policy

    def run(self, which: int, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one of the graphs."""
        logits: NDArray[np.float32] = self._sessions[which].run(["logits"], {"image": tensor})[0]
        return logits

    def tensor(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scale grey images; all networks saw the same training images."""
        spec = self._sidecars[0].input.image
        gain = np.float32(spec.scale / spec.std[0])
        values = images.reshape(-1, 1, spec.height, spec.width) * gain
        values -= np.float32(spec.mean[0] / spec.std[0])
        return values

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities (N, C)."""
        tensor = self.tensor(images)
        answer = self._probabilities(0, tensor)
        rows = np.arange(len(images))
        for which, threshold in enumerate(self._policy.thresholds, start=1):
            rows = rows[self._score(answer[rows]) < threshold]
            if not rows.size:
                break
            answer[rows] = (answer[rows] + self._probabilities(which, tensor[rows])) / 2
        return answer

    def _score(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._policy.score == "max_probability":
            return np.asarray(answer.max(axis=1))
        ordered = np.sort(answer, axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2])

    def _probabilities(self, which: int, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        values = self.run(which, tensor) / np.float32(self._sidecars[which].calibration.temperature)
        values = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(values / values.sum(axis=1, keepdims=True), np.float32)


def measure_calls(
    cascade: CascadeClassifier, folder: Path, images: NDArray[np.uint8], size: int, rounds: int
) -> dict[str, Estimate]:
    """Measure a cascade's calls beside the same by hand, and beside bare runs of its networks.

    Args:
        cascade: The cascade, which averages answers about grey images.
        folder: Where its networks lie.
        images: (N, H, W, 1) uint8.
        size: Images per call; a last, smaller batch is left out.
        rounds: Passes over the images.
    """
    plain = _PlainCascade(folder, cascade)
    batches = [images[at : at + size] for at in range(0, len(images) - size + 1, size)]
    runs = [run for batch in batches for run in _runs(cascade, plain, batch)]

    ways: dict[str, Callable[[], object]] = {
        "runs_us": lambda: [plain.run(which, tensor) for which, tensor in runs],
        "by_hand_us": lambda: [plain.predict(batch) for batch in batches],
        "call_us": lambda: [cascade.predict(batch) for batch in batches],
    }
    times_us: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin_s = time.thread_time()
            way()
            spent_s = time.thread_time() - begin_s
            times_us[name].append(1e6 * spent_s / (len(batches) * size))
    found = {name: median(values, "us") for name, values in times_us.items()}
    calls = times_us["call_us"]
    for ratio, name in (("call_by_hand", "by_hand_us"), ("call_by_runs", "runs_us")):
        pairs = zip(calls, times_us[name], strict=True)
        found[ratio] = median([call / by for call, by in pairs])
    return found


def _runs(
    cascade: CascadeClassifier, plain: _PlainCascade, images: NDArray[np.uint8]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield which network a batch asks about which tensor; both ways must answer the same."""
    answer = cascade.predict(images)
    np.testing.assert_allclose(plain.predict(images), answer.probabilities, atol=1e-5)
    reached = np.array([cascade.stages.index(trace.stage) for trace in answer.trace or ()])
    for which in range(int(reached.max()) + 1):
        yield which, plain.tensor(images[reached >= which])


def run(folder: Path, quick: bool) -> int:
    """Measure the shipped cascade."""
    deployed = load_deployed("fashion_mnist_cascade")
    images = load_dataset("fashion-mnist").test.images[: 64 if quick else IMAGES]
    cascade = deployed.cascade
    found = {
        size: measure_gate(cascade, images, size)
        | measure_calls(cascade, weights_folder(), images, size, ROUNDS)
        for size in BATCHES
    }
    deployed.close()
    measured: Measured = {
        ("fashion_mnist_cascade", f"batch {size}", quantity): one
        for size, of in found.items()
        for quantity, one in of.items()
    }
    print_measurements(measured)
    write_measurements(folder / "gate_cost.csv", measured)
    dear = [size for size, of in found.items() if (of["call_by_hand"].value or 9.0) > MOST[size]]
    return int(bool(dear) or any((of["ratio"].value or 1.0) > 0.15 for of in found.values()))


STUDY = Study(
    claim=(
        "Gate, combination and trace take at most 15 % of the networks' CPU time, and a call at "
        "most 1.15 times, of 32 images 1.05 times, what the same cascade by hand takes."
    ),
    setting=(
        f"AMD EPYC, two cores, one thread; {IMAGES} test images of FashionMNIST in {ROUNDS} "
        "rounds; no random numbers; seconds"
    ),
    run=run,
    needs="FashionMNIST",
)
