"""A model under comparison: whatever answers for samples, by the name of each output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, Session
from edge.agent_sidecar import PathAgentSpec
from edge.loading import load_classifier
from edge.probabilities import calibrated_probabilities
from edge.samples import Samples
from edge.session import FixedBatchSession, RunOptions, open_model
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, Sidecar, read_networks, read_sidecar, sidecar_path
from edge.targets import COARSENESS, Precision

Answers = dict[str, NDArray[np.float32]]

#: Output that every subject with classes has.
PROBABILITIES = "probabilities"

_BATCH = 250
_ENGINES = (".plan", ".engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSubject:
    """One graph with its sidecar.

    Attributes:
        title: How reports call it: name, precision, what runs it.
        precision: What it computes in.
        sidecar: What it is.
        session: The graph.
    """

    title: str
    precision: Precision
    sidecar: Sidecar
    session: Session

    def answer(self, samples: Samples, start: int, stop: int) -> Answers:
        """Run the graph over some of the samples.

        Raises:
            DataError: If they do not fit it.
        """
        outputs = self.session.run(samples.feeds(self.sidecar, start, stop))
        found: Answers = {}
        for output in self.sidecar.outputs:
            found[output.name] = values = np.asarray(outputs[output.name], np.float32)
            if output.meaning == "probabilities":
                found[PROBABILITIES] = values.reshape(len(values), -1)
            if output.meaning == "logits":
                with np.errstate(invalid="ignore"):  # a comparison must see an overflow, not end
                    found[PROBABILITIES] = self._calibrate(values)
        return found

    def _calibrate(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities (N, K), or (N, C, K) of a path network's C distances."""
        agent = self.sidecar.agent
        if isinstance(agent, PathAgentSpec):
            temperatures = np.array([[one.temperature] for one in agent.classes])
            rows = logits.reshape(len(logits), len(temperatures), -1)
            return calibrated_probabilities(rows, temperatures)
        flat = logits.reshape(len(logits), -1)
        return calibrated_probabilities(flat, self.sidecar.calibration.temperature)

    def close(self) -> None:
        """Release the graph."""
        self.session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSubject:
    """A classifier as a whole, e.g. a cascade without its result memory; see `GraphSubject`."""

    title: str
    precision: Precision
    sidecar: Sidecar
    classifier: ClassifierSession

    def answer(self, samples: Samples, start: int, stop: int) -> Answers:
        """Classify some of the samples.

        Raises:
            DataError: If they do not fit it.
        """
        return {PROBABILITIES: self.classifier.predict(samples.images[start:stop]).probabilities}

    def close(self) -> None:
        """Release its graphs."""
        self.classifier.close()


#: Something that answers for samples.
Subject = GraphSubject | ClassifierSubject


def answer_all(subject: Subject, samples: Samples) -> Answers:
    """Return a subject's answers for all samples.

    Raises:
        DataError: If they do not fit it.
    """
    starts = range(0, len(samples), _BATCH)
    parts = [subject.answer(samples, start, start + _BATCH) for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load_subject(model: str | Path, *, threads: int = 1) -> Subject:
    """Load a model for ONNX Runtime here, whatever target its file was exported for.

    Args:
        model: Name of a shipped model, path of a graph or sidecar, or folder with one sidecar; or
            of a TensorRT engine ``NAME.plan`` or ``NAME.engine`` with its sidecar beside it.
        threads: Threads that one run of a graph may use.

    Raises:
        DataError: If a file is absent or damaged.
        MachineError: If it is an engine and there is no TensorRT.
        UserError: If a name is not that of a shipped model.
    """
    if str(model).endswith(_ENGINES):
        return _load_engine(Path(model))
    path = sidecar_path(resolve_model(model))
    sidecar = read_sidecar(path)
    files = [file for network in read_networks(path).values() for file in network.files[:1]]
    if not files:
        raise DataError(f"the model {sidecar.name!r} has no file")
    file = max(files, key=lambda one: COARSENESS.index(one.precision))
    run_on = RunOptions(target=file.target, threads=threads)
    title = f"{sidecar.name} ({file.precision} for {file.target}, ONNX Runtime)"
    if sidecar.cascade is not None or sidecar.state.kind != "none":
        classifier = load_classifier(path, memory="none", run_on=run_on)
        return ClassifierSubject(
            title=title, precision=file.precision, sidecar=sidecar, classifier=classifier
        )
    session = open_model(path, sidecar, run_on)
    return GraphSubject(title=title, precision=file.precision, sidecar=sidecar, session=session)


def _load_engine(path: Path) -> GraphSubject:
    """Load a TensorRT engine; it counts as float16, the coarsest that ours are built in."""
    from edge.engine_session import EngineSession

    sidecar = read_sidecar(path.with_name(path.stem + SUFFIX))
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the engine {path}: {error.strerror or error}") from error
    return GraphSubject(
        title=f"{sidecar.name} (engine {path.name}, TensorRT)",
        precision="fp16",
        sidecar=sidecar,
        session=FixedBatchSession(EngineSession(plan, sidecar), 1),
    )
