"""A model under comparison: whatever answers for samples, by the name of each output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ClassifierSession, Session
from edge.loading import load_classifier
from edge.probabilities import calibrated_probabilities
from edge.samples import Samples
from edge.session import FixedBatchSession, RunOptions, open_session
from edge.shipped import resolve_model
from edge.sidecar import SUFFIX, ModelFile, Sidecar, read_model_bytes, read_sidecar, sidecar_path
from edge.targets import COARSENESS, Precision

Answers = dict[str, NDArray[np.float32]]

#: Output that every subject with classes has.
PROBABILITIES = "probabilities"

_BATCH = 250
_ENGINES = (".plan", ".engine")


class Subject(Protocol):
    """Something that answers for samples."""

    @property
    def title(self) -> str:
        """How reports call it: name, precision, what runs it."""

    @property
    def precision(self) -> Precision:
        """What it computes in."""

    @property
    def sidecar(self) -> Sidecar:
        """What it is."""

    def answer(self, samples: Samples, start: int, stop: int) -> Answers:
        """Return all outputs, (N, ...) float32 by name, and the calibrated probabilities."""

    def close(self) -> None:
        """Release it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSubject:
    """One graph with its sidecar."""

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
            if output.meaning == "logits":
                temperature = self.sidecar.calibration.temperature
                with np.errstate(invalid="ignore"):  # a comparison must see an overflow, not end
                    found[PROBABILITIES] = calibrated_probabilities(values, temperature)
        return found

    def close(self) -> None:
        """Release the graph."""
        self.session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSubject:
    """A classifier as a whole, e.g. a cascade without its result memory."""

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
    path = sidecar_path(find_model(model))
    sidecar = read_sidecar(path)
    files = model_files(path, sidecar)
    file = max(files, key=lambda one: COARSENESS.index(one.precision))
    title = f"{sidecar.name} ({file.precision} for {file.target}, ONNX Runtime)"
    if sidecar.cascade is not None or sidecar.state.kind != "none":
        run_on = RunOptions(target=file.target, threads=threads)
        classifier = load_classifier(path, memory="none", run_on=run_on)
        return ClassifierSubject(
            title=title, precision=file.precision, sidecar=sidecar, classifier=classifier
        )
    content = read_model_bytes(path, sidecar, file.target)
    session = open_session(content, name=sidecar.name, threads=threads)
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


def find_model(model: str | Path) -> Path:
    """Return the path of a sidecar or graph for a name, a path, or the folder of a trained run.

    Raises:
        DataError: If a folder does not hold exactly one model, or cascade with its members.
        UserError: If a name is not that of a shipped model.
    """
    if not Path(model).is_dir():
        return resolve_model(model)
    found = {path: read_sidecar(path) for path in sorted(Path(model).glob(f"*{SUFFIX}"))}
    cascades = [path for path, sidecar in found.items() if sidecar.cascade is not None]
    chosen = cascades or list(found)
    if len(chosen) != 1:
        names = ", ".join(path.name for path in chosen) or "none"
        raise DataError(f"the folder {model} holds the models {names}; give one of them")
    return chosen[0]


def model_files(path: Path, sidecar: Sidecar) -> tuple[ModelFile, ...]:
    """Return the files that a model runs: its own first one, or that of each member.

    Raises:
        DataError: If there is none.
    """
    if sidecar.cascade is not None:
        beside = [path.with_name(member.name + SUFFIX) for member in sidecar.cascade.members]
        return tuple(file for one in beside for file in model_files(one, read_sidecar(one)))
    if not sidecar.files:
        raise DataError(f"the model {sidecar.name!r} has no file")
    return sidecar.files[:1]
