"""From a file to a graph that can be judged, or to the finding that says why it cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bicameral.errors import DataError
from edge.lfs_pointer import pointer_problem
from edge.preflight.findings import Finding, finding
from edge.preflight.graph import GraphView
from edge.sidecar import Sidecar, read_sidecar, sidecar_path

_EXPORT_AGAIN = "export or fetch the file again"


def parse_model(path: Path) -> tuple[Any | None, list[Finding]]:
    """Parse an ONNX file without loading external tensors.

    Returns:
        The `onnx.ModelProto`, or None with the finding that says why.

    Raises:
        DataError: If the file cannot be opened.
    """
    import onnx

    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the model {path}: {error.strerror or error}") from error
    if problem := pointer_problem(content):
        return None, [finding("", "unreadable-file", f"{path.name} {problem}", _EXPORT_AGAIN)]
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's errors have no public base class
        message = f"{path.name} ({len(content)} bytes) is no ONNX file or is cut off: {error}"
        return None, [finding("", "unreadable-file", message, _EXPORT_AGAIN)]
    if not model.graph.node or not model.graph.output:
        message = (
            f"{path.name} ({len(content)} bytes) holds {len(model.graph.node)} nodes and "
            f"{len(model.graph.output)} outputs, so it computes nothing"
        )
        return None, [finding("", "empty-graph", message, _EXPORT_AGAIN)]
    return model, []


def check_external_data(path: Path, model: Any) -> Iterator[Finding]:
    """Find tensors whose values should lie in a file beside the model and do not."""
    for tensor in _tensors_with_external_data(model):
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        relative = Path(location)
        file = path.parent / relative
        if relative.is_absolute() or ".." in relative.parts or not location:
            problem = f"its values are said to lie in {location!r}, outside the model's folder"
        elif not file.is_file():
            problem = f"its values should lie in {location!r}, which is not beside the model"
        elif file.stat().st_size < _external_end(entries):
            problem = (
                f"its values should end at byte {_external_end(entries)} of {location!r}, which "
                f"has {file.stat().st_size}"
            )
        else:
            continue
        yield finding(
            tensor.name,
            "missing-external-data",
            problem,
            "copy that file too, or save the model in one file (onnx.save_model)",
        )


def check_validity(path: Path) -> Iterator[Finding]:
    """Find what ONNX's own checker and shape inference refuse."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # checker and shape inference raise unrelated classes
        first_lines = " ".join(str(error).split())[:400]
        yield finding(
            "",
            "invalid-onnx",
            f"ONNX's checker refuses {path.name}: {first_lines}",
            "mend the program that wrote it and " + _EXPORT_AGAIN,
        )


def check_sidecar(path: Path, view: GraphView) -> Iterator[Finding]:
    """Compare the file with the sidecar beside it, if there is one."""
    if not sidecar_path(path).exists():
        return
    try:
        sidecar = read_sidecar(path)
    except DataError as error:
        yield finding("", "invalid-sidecar", str(error), _EXPORT_AGAIN)
        return
    yield from _check_hash(path, sidecar)
    expected = [sidecar.input.name, *(extra.name for extra in sidecar.extra_inputs)]
    yield from _check_names("input", expected, [value.name for value in view.inputs])
    outputs = [value.name for value in view.model.graph.output]
    wanted = [output.name for output in sidecar.outputs]
    if not set(wanted) <= set(outputs):  # nobody needs to describe what nobody reads
        yield from _check_names("output", wanted, outputs)


def _check_hash(path: Path, sidecar: Sidecar) -> Iterator[Finding]:
    entry = next((file for file in sidecar.files if file.path == path.name), None)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if entry is not None and digest != entry.sha256:
        yield finding(
            "",
            "file-differs-from-sidecar",
            f"{path.name} has sha256 {digest}, its sidecar says {entry.sha256}",
            _EXPORT_AGAIN,
        )


def _check_names(kind: str, expected: list[str], found: list[str]) -> Iterator[Finding]:
    if sorted(expected) != sorted(found):
        yield finding(
            "",
            f"wrong-{kind}-name",
            f"the graph's {kind}s are {found}, the sidecar and with it every program that runs the "
            f"model says {expected}",
            f"rename the graph's {kind}s or mend the sidecar",
        )


def _tensors_with_external_data(model: Any) -> Iterator[Any]:
    import onnx

    for tensor in GraphView(model).tensors.values():
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def _external_end(entries: dict[str, str]) -> int:
    """Return the first byte behind a tensor's values; 0 if the file does not say."""
    try:
        return int(entries.get("offset", "0")) + int(entries.get("length", "0"))
    except ValueError:
        return 0
