"""Sessions: a graph that answers for tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import Session, TensorSpec
from edge.lfs_pointer import pointer_problem
from edge.sidecar import Sidecar, read_model_bytes

_NUMPY_FROM_ONNX = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How ONNX Runtime runs a model here.

    Attributes:
        target: Which of a sidecar's files: the one that was exported for this target.
        threads: Threads that one run of a graph may use.
    """

    target: str = "onnxruntime"
    threads: int = 1


#: ONNX Runtime's file, on one thread.
PLAIN_RUN = RunOptions()

#: ONNX Runtime's own defaults: a run without any makes them anew, which costs it 3 us.
_RUN_DEFAULTS: Any = ort.RunOptions()


class GraphSession:
    """What every `bicameral.protocols.Session` says about itself."""

    def __init__(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], fingerprint: str
    ) -> None:
        """Describe what `run` takes and returns.

        Args:
            inputs: The tensors that it takes.
            outputs: The tensors that it returns.
            fingerprint: SHA-256 of what computes.
        """
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.fingerprint = fingerprint


class OnnxSession(GraphSession):
    """A graph on ONNX Runtime's CPU provider.

    No spinning, and one thread unless told otherwise: small graphs gain nothing from more, and an
    agent shares its machine with a simulator. With one thread the answer is the same bits in every
    run.
    """

    def __init__(self, model: bytes | Path, *, name: str, threads: int = 1) -> None:
        """Load a graph.

        Args:
            model: Content of an ONNX file, or its path, which also leads to weights that the graph
                keeps in files beside it.
            name: How messages call it.
            threads: Threads that one run may use.

        Raises:
            DataError: If it cannot be read, or ONNX Runtime cannot load it.
        """
        if isinstance(model, Path):
            _require_model(model)
        try:
            self._session: Any = _load(model if isinstance(model, bytes) else str(model), threads)
            fingerprint = _sha256(model)
        except Exception as error:  # ONNX Runtime's errors have no public base class
            raise DataError(f"ONNX Runtime cannot load the model {name!r}: {error}") from error
        super().__init__(
            _specs(self._session.get_inputs()),
            # The others are sequences and maps, such as scikit-learn's converter writes.
            _specs(one for one in self._session.get_outputs() if one.type.startswith("tensor(")),
            fingerprint,
        )
        self._name = name
        self._output_names = [spec.name for spec in self.outputs]
        # Without the checks around ONNX Runtime's own `run`, which cost 5 % of a small network.
        self._run: Any = getattr(self._session, "_sess", self._session).run

    @property
    def unwrapped(self) -> Any:
        """ONNX Runtime's own session, to measure a run without anything around it."""
        return self._session

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs for one batch.

        Raises:
            DataError: If the feeds do not fit the graph's inputs.
        """
        if self._run is None:
            raise DataError(f"the session of {self._name!r} is closed")
        try:
            values = self._run(
                self._output_names, feeds if isinstance(feeds, dict) else dict(feeds), _RUN_DEFAULTS
            )
        except Exception as error:  # ONNX Runtime's errors have no public base class
            given = {key: (value.shape, str(value.dtype)) for key, value in feeds.items()}
            raise DataError(
                f"{self._name!r} rejected its inputs {given}; it takes "
                f"{[(spec.name, spec.shape, spec.dtype) for spec in self.inputs]}: {error}"
            ) from error
        if len(values) == 1:  # of a small network's run, zipping one name would cost 1 %
            return {self._output_names[0]: values[0]}
        return dict(zip(self._output_names, values, strict=True))

    def description(self) -> str:
        """Return what whoever made the graph says about it; often nothing."""
        about = self._session.get_modelmeta()
        return str(about.description or about.graph_description)

    def close(self) -> None:
        """Release the graph; `run` fails afterwards."""
        self._session = self._run = None


class FixedBatchSession(GraphSession):
    """A graph of one batch size as a session for any: cut into batches, the last one filled up.

    The rows that fill it repeat the last real one, so that nothing unusual is computed.
    """

    def __init__(self, session: Session, batch: int) -> None:
        """Wrap a session whose inputs and outputs all have the first size `batch`."""
        super().__init__(
            [replace(one, shape=(-1, *one.shape[1:])) for one in session.inputs],
            [replace(one, shape=(-1, *one.shape[1:])) for one in session.outputs],
            session.fingerprint,
        )
        self._session, self._batch = session, batch

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs for a batch of any size from 1.

        Raises:
            DataError: If the feeds do not fit the graph's inputs.
        """
        rows = min((len(value) for value in feeds.values()), default=0)
        parts: list[dict[str, NDArray[Any]]] = []
        for start in range(0, rows, self._batch):
            index = np.minimum(np.arange(start, start + self._batch), rows - 1)
            parts.append(self._session.run({name: value[index] for name, value in feeds.items()}))
        return {
            spec.name: np.concatenate([part[spec.name] for part in parts])[:rows]
            for spec in self.outputs
        }

    def close(self) -> None:
        """Release the graph; `run` fails afterwards."""
        self._session.close()


def open_session(model: bytes, *, name: str, threads: int = 1) -> Session:
    """Load a graph as an `OnnxSession`; one of a fixed batch size takes any number of rows, too.

    Raises:
        DataError: If ONNX Runtime cannot load it.
    """
    session = OnnxSession(model, name=name, threads=threads)
    sizes = {spec.shape[0] for spec in session.inputs if spec.shape}
    batch = sizes.pop() if len(sizes) == 1 else -1
    return session if batch < 1 else FixedBatchSession(session, batch)


def open_model(model: Path, sidecar: Sidecar, run_on: RunOptions = PLAIN_RUN) -> Session:
    """Open one of a model's files, if it is the one that the sidecar describes.

    Args:
        model: Path of the graph or of its sidecar.
        sidecar: Its sidecar.
        run_on: Which of the sidecar's files, and how many threads.

    Raises:
        DataError: If it is absent, damaged, or cannot be loaded.
    """
    content = read_model_bytes(model, sidecar, run_on.target)
    return open_session(content, name=sidecar.name, threads=run_on.threads)


def load_error(path: Path) -> str | None:
    """Return why ONNX Runtime cannot load a file, or None if it can."""
    try:
        _load(str(path), 1)
    except Exception as error:  # ONNX Runtime's errors have no public base class
        return str(error)
    return None


def _load(model: bytes | str, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors come as exceptions; nothing else is of interest here
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _require_model(path: Path) -> None:
    """Refuse in words what ONNX Runtime would not find, or could not parse for a known reason."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise DataError(f"cannot read the model {path}: {error.strerror or error}") from error
    problem = pointer_problem(head) if head else "is empty; fetch or export it again"
    if problem:
        raise DataError(f"{path} {problem}")


def _sha256(model: bytes | Path) -> str:
    if isinstance(model, bytes):
        return hashlib.sha256(model).hexdigest()
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _specs(nodes: Iterable[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=node.name,
            dtype=_NUMPY_FROM_ONNX.get(node.type, node.type),
            shape=tuple(size if isinstance(size, int) else -1 for size in node.shape),
        )
        for node in nodes
    )
