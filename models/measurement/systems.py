"""The models of a plan, loaded, and what they answer and need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bicameral.errors import ConfigError, DataError
from bicameral.protocols import ClassifierSession
from bicameral.types import Prediction
from edge.cascade import CascadeClassifier, same_canonical_image
from edge.energy.quantity import Quantity, measured, nothing
from edge.energy.system_files import read_text
from edge.loading import load_classifier
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from edge.shipped import resolve_model
from edge.sidecar import read_networks, read_sidecar, sidecar_path
from models.measurement.record import MEMORY_SUFFIX, ModelRecord, StreamAnswers
from models.measurement.streams import Stream
from models.measurement.workload import TimedSystem


def load_system(model: str) -> TimedSystem:
    """Load a model as the plan names it.

    Raises:
        DataError: If a file is absent or damaged, or the model is no classifier.
        ConfigError: If a memory is asked for in front of a single network.
        UserError: If a name is not that of a shipped model.
    """
    path = _sidecar(model)
    if not model.endswith(MEMORY_SUFFIX):
        return TimedSystem(name=model, classifier=load_classifier(path, memory="none"))
    sidecar = read_sidecar(path)
    if sidecar.cascade is None:
        raise ConfigError(
            f"{model!r} asks for a memory in front of {sidecar.name!r}, which is a "
            f"{sidecar.kind}; only a cascade has a place for one"
        )
    spec = sidecar.cascade.memory
    memory = LocalMemory(MemorySettings(**({} if spec is None else spec.model_dump())))
    classifier = load_classifier(path, memory=memory)
    return TimedSystem(name=model, classifier=classifier, memory=memory)


def _sidecar(model: str) -> Path:
    return sidecar_path(resolve_model(model.removesuffix(MEMORY_SUFFIX)))


def require_comparable(systems: Sequence[TimedSystem]) -> None:
    """Refuse models that answer different questions.

    Raises:
        DataError: If labels or canonical images differ from the first one's.
    """
    first = systems[0].classifier.info
    for system in systems[1:]:
        other = system.classifier.info
        if other.labels != first.labels or not same_canonical_image(other.image, first.image):
            raise DataError(
                f"{system.name!r} cannot be compared with {systems[0].name!r}: it has the labels "
                f"{other.labels} and the image {other.image}, expected {first.labels} and "
                f"{first.image} but for scale, mean and std"
            )


def examine_model(
    model: str, streams: Sequence[Stream], send: Callable[[ModelRecord], None]
) -> None:
    """Let a model answer all streams once, and send that with what it needs.

    To be called in a process of its own, for the memory is that of the process.

    Args:
        model: As the plan names it.
        streams: The streams.
        send: Is given the record.
    """
    before = _memory_bytes("VmRSS")
    system = load_system(model)
    answers = tuple(_answer(system, stream) for stream in streams)
    networks = read_networks(_sidecar(model)).values()
    files = [file for network in networks for file in network.files]
    record = ModelRecord(
        model=model,
        fingerprint=system.classifier.info.fingerprint,
        parameters=sum(network.cost.parameters for network in networks),
        file_bytes=sum(file.bytes for file in files if file.target == "onnxruntime"),
        rss_before_bytes=before,
        peak_rss_bytes=_memory_bytes("VmHWM"),
        answers=answers,
    )
    send(record)


def _answer(system: TimedSystem, stream: Stream) -> StreamAnswers:
    """Show a stream to a model, one image at a time, its memory empty at the beginning."""
    if system.memory is not None:
        system.memory.clear()
    images, labels = stream.frames.images, stream.frames.labels
    right, stages = 0, list[str]()
    for frame in stream.order.tolist():
        prediction = system.classifier.predict(images[frame : frame + 1])
        right += int(prediction.probabilities[0].argmax() == labels[frame])
        stages.append(_stage(prediction))
    alone = np.isin(stages, ["memory", "a", "block_1"])
    return StreamAnswers(
        duplicates=stream.duplicates,
        n_images=len(stream),
        accuracy=right / len(stream),
        share_b=float(1.0 - alone.mean()),
        hit_rate=stages.count("memory") / len(stages),
        macs_per_image=_macs(system.classifier, stages),
    )


def _stage(prediction: Prediction) -> str:
    return "a" if prediction.trace is None else prediction.trace[0].stage


def _macs(classifier: ClassifierSession, stages: Sequence[str]) -> Quantity:
    """Return the mean multiply-accumulates of what ran until an image was answered."""
    macs = {"a": classifier.info.macs}
    if isinstance(classifier, CascadeClassifier):
        macs = {**classifier.macs_by_stage(), "memory": 0}
    ran = [macs[stage] for stage in stages]
    unknown = f"the multiply-accumulates of {classifier.info.name!r} are unknown"
    known = [one for one in ran if one is not None]
    return measured(sum(known) / len(ran), "1") if len(known) == len(ran) else nothing("1", unknown)


def _memory_bytes(field: str) -> Quantity:
    """Return a figure of this process's memory from the kernel."""
    for line in (read_text(Path("/proc/self/status")) or "").splitlines():
        if line.startswith(f"{field}:"):
            return measured(1024.0 * int(line.split()[1]), "B")
    return nothing("B", f"this system does not tell {field}")
