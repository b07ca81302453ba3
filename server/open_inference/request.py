"""From the body of an inference request to its tensors.

A body is JSON, alone or followed by the raw bytes of the tensors that are not in it (the extension
``binary_tensor_data``). Whatever else it is ends in a `RequestError`. Fields and parameters that
are not known are passed over, as the protocol asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from server.errors import RequestError, shown
from server.open_inference.datatypes import (
    DATATYPE_NAMES,
    DATATYPES,
    array_from_bytes,
    array_from_json,
    bytes_elements,
    bytes_from_json,
)
from server.serving.tensors import Tensor

T = TypeVar("T")

#: Whose parameters they are: what it is, and its name if it has one. Put into words only in errors.
_Owner = tuple[str, str | None]
_REQUEST: Final[_Owner] = ("the request", None)
_NO_PARAMETERS: Final[Mapping[str, Any]] = {}

#: More inputs or outputs have no model, and would only keep the server busy.
MAX_TENSORS: Final = 256
#: Longer names have none either, and would only make messages long.
MAX_NAME: Final = 256
#: numpy's limit.
MAX_AXES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTensor:
    """A tensor of a request.

    Attributes:
        name: Its name.
        datatype: Its datatype.
        shape: Its shape.
        data: Its elements: an array of that shape, or for BYTES the elements row by row. BF16 is
            an array of float32.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedOutput:
    """An output that a request asks for.

    Attributes:
        name: Its name.
        binary: Whether its elements shall come as raw bytes, else in the JSON.
        classes: How many of the highest values shall come as text instead of all as numbers; 0:
            none.
    """

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A decoded request.

    Attributes:
        id: To be echoed; None: there is none.
        inputs: Its tensors; no name comes twice.
        outputs: What it asks for, no name twice; None: all outputs.
        binary_output: Whether outputs that it does not list shall come as raw bytes.
        timeout_s: It is of no use if its run has not begun by then; None: it says nothing.
    """

    id: str | None
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] | None
    binary_output: bool
    timeout_s: float | None


def decode_infer_request(body: bytes, header_length: int | None) -> InferRequest:
    """Decode a request with a JSON header.

    Args:
        body: The whole body, not compressed.
        header_length: Length of the JSON at its beginning, from the HTTP header
            ``Inference-Header-Content-Length``; None: all of it is JSON.

    Raises:
        RequestError: 400 naming field or tensor, what was given and what was expected; 501 if a
            tensor is said to be in shared memory.
    """
    view = memoryview(body)
    if header_length is not None and not 0 < header_length <= len(body):
        raise RequestError(
            400,
            f"the header Inference-Header-Content-Length says that the JSON has {header_length} "
            f"bytes, but the body has {len(body)}",
        )
    try:
        request = orjson.loads(view[:header_length])
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the request is no JSON: {error}{_hint(header_length)}") from None
    if type(request) is not dict:
        raise _wrong("the request", request, "a JSON object")
    parameters = _parameters(request, _REQUEST)
    binary_output = _boolean(parameters, "binary_data_output", _REQUEST, default=False)
    binary = _BinaryPart(view[len(body) if header_length is None else header_length :])
    inputs = [_input(entry, binary) for entry in _entries(request, "inputs")]
    binary.require_end()
    _require_unique("inputs", inputs)
    outputs: list[RequestedOutput] = []
    if request.get("outputs") is not None:
        outputs = [_output(entry, binary_output) for entry in _entries(request, "outputs")]
        _require_unique("outputs", outputs)
    return InferRequest(
        id=_id(request),
        inputs=tuple(inputs),
        outputs=tuple(outputs) or None,
        binary_output=binary_output,
        timeout_s=_timeout_s(parameters),
    )


class _BinaryPart:
    """The raw bytes behind the JSON, from which the tensors take theirs one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._taken = 0

    def take(self, size: int, name: str) -> memoryview:
        """Return the next so many bytes.

        Raises:
            RequestError: 400 if they are not there.
        """
        begin, end = self._taken, self._taken + size
        if end > len(self._data):
            raise RequestError(
                400,
                f"the binary_data_size of input {shown(name)} is {size}, but behind the JSON only "
                f"{len(self._data) - begin} bytes are left for it; the header "
                "Inference-Header-Content-Length must give the length of the JSON",
            )
        self._taken = end
        return self._data[begin:end]

    def require_end(self) -> None:
        """Refuse bytes that belong to no tensor."""
        if self._taken != len(self._data):
            raise RequestError(
                400,
                f"{len(self._data)} bytes follow the JSON, expected {self._taken}, the sum of all "
                "binary_data_size",
            )


def _input(entry: Mapping[str, Any], binary: _BinaryPart) -> InputTensor:
    name = _name(entry, "inputs")
    datatype_name = entry.get("datatype")
    if type(datatype_name) is not str or datatype_name not in DATATYPE_NAMES:
        raise _wrong(
            f"the datatype of input {shown(name)}",
            datatype_name,
            f"one of {', '.join(DATATYPE_NAMES)}",
        )
    shape = _shape(entry.get("shape"), name)
    parameters = _parameters(entry, ("input", name))
    _refuse_shared_memory(parameters, ("input", name))
    size = parameters.get("binary_data_size")
    if size is None:
        data = _data_from_json(entry, (datatype_name, shape, name), parameters)
    else:
        if "data" in entry:
            raise RequestError(
                400, f"input {shown(name)} has data and a binary_data_size, expected only one"
            )
        if type(size) is not int or size < 0:
            raise _wrong(f"the binary_data_size of input {shown(name)}", size, "a number of bytes")
        data = _data_from_bytes(binary.take(size, name), datatype_name, shape, name)
    return InputTensor(name=name, datatype=datatype_name, shape=shape, data=data)


def _data_from_json(
    entry: Mapping[str, Any],
    described: tuple[str, tuple[int, ...], str],
    parameters: Mapping[str, Any],
) -> Tensor:
    datatype_name, shape, name = described
    values = entry.get("data")
    if type(values) is not list:
        raise _wrong(
            f"the data of input {shown(name)}",
            values,
            "a JSON array, or the parameter binary_data_size and bytes behind the JSON",
        )
    count = math.prod(shape)
    if datatype_name == "BYTES":
        base64 = parameters.get("content_type") == "base64"
        return bytes_from_json(values, count, name, base64=base64)
    flat = array_from_json(values, DATATYPES[datatype_name], count, name)
    return _named(name, lambda: flat.reshape(shape))


def _data_from_bytes(
    data: memoryview, datatype_name: str, shape: tuple[int, ...], name: str
) -> Tensor:
    count = math.prod(shape)
    if datatype_name == "BYTES":
        elements = _named(name, lambda: list(bytes_elements(data)))
        if len(elements) != count:
            raise RequestError(
                400,
                f"the data of input {shown(name)} have {len(elements)} elements, its shape needs "
                f"{count}",
            )
        return elements
    datatype = DATATYPES[datatype_name]
    expected = count * datatype.dtype.itemsize
    if len(data) != expected:
        raise RequestError(
            400,
            f"the binary_data_size of input {shown(name)} is {len(data)}, expected {expected} for "
            f"{datatype_name} of shape {shown(list(shape))}",
        )
    return _named(name, lambda: array_from_bytes(data, datatype, shape))


def _output(entry: Mapping[str, Any], binary_output: bool) -> RequestedOutput:
    name = _name(entry, "outputs")
    parameters = _parameters(entry, ("output", name))
    _refuse_shared_memory(parameters, ("output", name))
    classes = parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise _wrong(
            f"the parameter classification of output {shown(name)}", classes, "a number of classes"
        )
    return RequestedOutput(
        name=name,
        binary=_boolean(parameters, "binary_data", ("output", name), default=binary_output),
        classes=classes,
    )


def _entries(request: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    entries = request.get(field)
    if type(entries) is not list:
        raise _wrong(f"the field {field}", entries, "an array of objects")
    if len(entries) > MAX_TENSORS:
        raise RequestError(
            400, f"the request has {len(entries)} {field}, expected {MAX_TENSORS} at most"
        )
    for entry in entries:
        if type(entry) is not dict:
            raise _wrong(f"the field {field}", entries, "an array of objects")
    return entries


def _name(entry: Mapping[str, Any], field: str) -> str:
    name = entry.get("name")
    if type(name) is not str or len(name) > MAX_NAME:
        raise _wrong(f"a name in {field}", name, f"a string of {MAX_NAME} characters at most")
    return name


def _shape(shape: Any, name: str) -> tuple[int, ...]:
    if type(shape) is not list or len(shape) > MAX_AXES or not _are_sizes(shape):
        expected = f"an array of {MAX_AXES} sizes at most, none of them negative"
        raise _wrong(f"the shape of input {shown(name)}", shape, expected)
    return tuple(shape)


def _are_sizes(values: list[Any]) -> bool:
    # A loop, for a generator would cost more than there is to do.
    for value in values:  # noqa: SIM110
        if type(value) is not int or value < 0:
            return False
    return True


def _parameters(entry: Mapping[str, Any], owner: _Owner) -> Mapping[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return _NO_PARAMETERS
    if type(parameters) is not dict:
        raise _wrong(f"the field parameters of {_described(owner)}", parameters, "an object")
    return parameters


def _boolean(parameters: Mapping[str, Any], name: str, owner: _Owner, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise _wrong(f"the parameter {name} of {_described(owner)}", value, "true or false")
    return value


def _id(request: Mapping[str, Any]) -> str | None:
    identity = request.get("id")
    if identity is not None and type(identity) is not str:
        raise _wrong("the id of the request", identity, "a string")
    return identity


def _timeout_s(parameters: Mapping[str, Any]) -> float | None:
    """Return the parameter ``timeout``, which is in microseconds; 0 is none, as for Triton."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise _wrong("the parameter timeout of the request", timeout, "a number of microseconds")
    return timeout / 1e6 or None


def _refuse_shared_memory(parameters: Mapping[str, Any], owner: _Owner) -> None:
    if "shared_memory_region" in parameters:
        raise RequestError(
            501,
            f"{_described(owner)} is in shared memory, which this server does not offer; send the "
            "data themselves",
        )


def _described(owner: _Owner) -> str:
    kind, name = owner
    return f"{kind} {shown(name)}" if name is not None else kind


def _require_unique(field: str, tensors: Sequence[InputTensor | RequestedOutput]) -> None:
    if len(tensors) < 2:
        return
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise RequestError(
                400, f"{shown(tensor.name)} is twice among the {field}, expected it once"
            )
        seen.add(tensor.name)


def _named(name: str, convert: Callable[[], T]) -> T:
    """Convert a tensor; name it if that fails."""
    try:
        return convert()
    except (ValueError, OverflowError) as error:
        raise RequestError(
            400, f"the data of input {shown(name)} cannot be used: {error}"
        ) from None


def _hint(header_length: int | None) -> str:
    if header_length is not None:
        return ""
    return "; if tensors follow it, the header Inference-Header-Content-Length must give its length"


def _wrong(what: str, value: object, expected: str) -> RequestError:
    got = "missing" if value is None else shown(value)
    return RequestError(400, f"{what} is {got}, expected {expected}")
