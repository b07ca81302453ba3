"""From the body of an inference request to its tensors.

A body is JSON, alone or followed by the raw bytes of the tensors that are not in it (the extension
``binary_tensor_data``). Whatever else it is ends in a `RequestError`. Fields and parameters that
are not known are passed over, as the protocol asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Final, NotRequired, TypeVar

import orjson
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from server.errors import RequestError, shown, unfit
from server.open_inference.datatypes import (
    DATATYPE_NAMES,
    DATATYPES,
    Tensor,
    array_from_bytes,
    array_from_json,
    bytes_elements,
    bytes_from_json,
)

T = TypeVar("T")

#: More inputs or outputs have no model, and would only keep the server busy.
MAX_TENSORS: Final = 256
#: Longer names have none either, and would only make messages long.
MAX_NAME: Final = 256
#: Of a BYTES tensor in raw bytes: nobody has so many rows, and each takes ten times its length.
_MOST_ELEMENTS: Final = 1 << 20
#: Longer JSON before raw bytes is read anew.
_MOST_REMEMBERED_BYTES: Final = 1024
#: numpy's limit.
MAX_AXES: Final = 64

_Few = Annotated[list[T], Field(max_length=MAX_TENSORS)]
_Name = Annotated[str, Field(max_length=MAX_NAME)]
_Datatype = Annotated[str, Field(pattern=f"^({'|'.join(DATATYPE_NAMES)})$")]
_Natural = Annotated[int, Field(ge=0)]
_Shape = Annotated[list[_Natural], Field(max_length=MAX_AXES)]

#: The JSON's numbers are numbers and its texts are texts.
_STRICT = ConfigDict(strict=True)


class _InputParameters(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    binary_data_size: _Natural
    content_type: Any
    shared_memory_region: Any


class _InputEntry(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: _Name
    datatype: _Datatype
    shape: _Shape
    parameters: NotRequired[_InputParameters | None]
    data: NotRequired[list[Any]]


class _OutputParameters(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    binary_data: bool
    classification: _Natural
    shared_memory_region: Any


class _OutputEntry(TypedDict):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    name: _Name
    parameters: NotRequired[_OutputParameters | None]


class _RequestParameters(TypedDict, total=False):
    __pydantic_config__ = _STRICT  # type: ignore[misc]
    binary_data_output: bool
    #: In microseconds; 0 is none, as for Triton.
    timeout: _Natural


class _Header(TypedDict):
    """The JSON of a request."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]
    id: NotRequired[str | None]
    inputs: _Few[_InputEntry]
    outputs: NotRequired[_Few[_OutputEntry] | None]
    parameters: NotRequired[_RequestParameters | None]


_HEADER: Final = TypeAdapter(_Header)


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
        if header_length is None or header_length > _MOST_REMEMBERED_BYTES:
            header = _read_header(view[:header_length])
        else:
            header = _remembered_header(body[:header_length])
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the request is no JSON: {error}{_hint(header_length)}") from None
    except ValidationError as error:
        raise unfit("the request", error) from None
    parameters = header.get("parameters") or {}
    binary_output = parameters.get("binary_data_output", False)
    binary = _BinaryPart(view[len(body) if header_length is None else header_length :])
    inputs = [_input(entry, binary) for entry in header["inputs"]]
    binary.require_end()
    _require_unique("inputs", inputs)
    outputs = [_output(entry, binary_output) for entry in header.get("outputs") or ()]
    _require_unique("outputs", outputs)
    return InferRequest(
        id=header.get("id"),
        inputs=tuple(inputs),
        outputs=tuple(outputs) or None,
        binary_output=binary_output,
        timeout_s=parameters.get("timeout", 0) / 1e6 or None,
    )


def _read_header(json: bytes | memoryview) -> _Header:
    return _HEADER.validate_python(orjson.loads(json))


#: A client that sends its tensors as raw bytes sends the same JSON again and again; nobody changes
#: what was read of it.
_remembered_header = lru_cache(maxsize=64)(_read_header)


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


def _input(entry: _InputEntry, binary: _BinaryPart) -> InputTensor:
    name = entry["name"]
    parameters = entry.get("parameters") or {}
    if "shared_memory_region" in parameters:
        raise _in_shared_memory(f"input {shown(name)}")
    size, values = parameters.get("binary_data_size"), entry.get("data")
    if (size is None) == (values is None):
        got = "neither data nor" if size is None else "both data and"
        raise RequestError(
            400,
            f"input {shown(name)} has {got} a binary_data_size, expected a JSON array or bytes "
            "behind the JSON",
        )
    shape = tuple(entry["shape"])
    try:
        if values is not None:
            data = _from_json(values, entry, shape, parameters.get("content_type") == "base64")
        else:
            data = _from_bytes(binary.take(size or 0, name), entry, shape)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            400, f"the data of input {shown(name)} cannot be used: {error}"
        ) from None
    return InputTensor(name=name, datatype=entry["datatype"], shape=shape, data=data)


def _from_json(
    values: list[Any], entry: _InputEntry, shape: tuple[int, ...], base64: bool
) -> Tensor:
    name, datatype, count = entry["name"], entry["datatype"], math.prod(shape)
    if datatype == "BYTES":
        return bytes_from_json(values, count, name, base64=base64)
    return array_from_json(values, DATATYPES[datatype], count, name).reshape(shape)


def _from_bytes(data: memoryview, entry: _InputEntry, shape: tuple[int, ...]) -> Tensor:
    name, count = entry["name"], math.prod(shape)
    if entry["datatype"] == "BYTES":
        if count > _MOST_ELEMENTS:
            raise RequestError(
                413, f"input {shown(name)} has {count:,} elements, allowed are {_MOST_ELEMENTS:,}"
            )
        elements = list(islice(bytes_elements(data), count + 1))
        if len(elements) != count:
            raise RequestError(
                400,
                f"the data of input {shown(name)} have {len(elements)} elements, its shape needs "
                f"{count}",
            )
        return elements
    datatype = DATATYPES[entry["datatype"]]
    expected = count * datatype.dtype.itemsize
    if len(data) != expected:
        raise RequestError(
            400,
            f"the binary_data_size of input {shown(name)} is {len(data)}, expected {expected} for "
            f"{datatype.name} of shape {shown(list(shape))}",
        )
    return array_from_bytes(data, datatype, shape)


def _output(entry: _OutputEntry, binary_output: bool) -> RequestedOutput:
    name = entry["name"]
    parameters = entry.get("parameters") or {}
    if "shared_memory_region" in parameters:
        raise _in_shared_memory(f"output {shown(name)}")
    return RequestedOutput(
        name=name,
        binary=parameters.get("binary_data", binary_output),
        classes=parameters.get("classification", 0),
    )


def _in_shared_memory(what: str) -> RequestError:
    return RequestError(
        501,
        f"{what} is in shared memory, which this server does not offer; send the data themselves",
    )


def _require_unique(field: str, tensors: Sequence[InputTensor | RequestedOutput]) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise RequestError(
                400, f"{shown(tensor.name)} is twice among the {field}, expected it once"
            )
        seen.add(tensor.name)


def _hint(header_length: int | None) -> str:
    if header_length is not None:
        return ""
    return "; if tensors follow it, the header Inference-Header-Content-Length must give its length"
