"""MessagePack-RPC framing with bounds, so that no sender can make the server grow.

The TCP stream is a plain concatenation of MessagePack objects in both directions, without a length
prefix. A request is ``[0, id, method, [metadata, *arguments]]``, a response ``[1, id, error,
result]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from bicameral.errors import DataError

#: Largest request. The largest legitimate ones are OpenDRIVE texts (Town04: 3.4 MB).
MAX_REQUEST_BYTES = 16 << 20
#: Most arrays in one request, and most elements in one array: those of a 512 x 512 texture. Python
#: needs sixty bytes for an empty array that takes one on the wire.
MAX_ARRAYS = 1 << 18
#: Requests up to this size cannot hold enough arrays to be worth counting.
_UNCOUNTED_BYTES = 1 << 16
#: Reserved per connection; the decoder's own default is a megabyte.
_FIRST_BUFFER_BYTES = 1 << 12
_MAX_MESSAGE_ID = 0xFFFFFFFF
_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2

_UNDECODABLE = (ValueError, TypeError, MemoryError, RecursionError, msgpack.UnpackException)

_packer = msgpack.Packer(use_bin_type=True, unicode_errors="surrogateescape")


class Request(NamedTuple):
    """One call.

    Attributes:
        message_id: The id that the answer must carry; None when no answer is wanted.
        method: Name of the method.
        arguments: The arguments without the leading metadata.
    """

    message_id: int | None
    method: str
    arguments: list[Any]


class RequestReader:
    """Cuts a byte stream into requests.

    A scanner that builds nothing finds where a request ends; only then is it decoded. A decoder
    alone would reserve whatever length a five-byte header announces, five hundred levels deep.
    """

    def __init__(self) -> None:
        self._scanner = msgpack.Unpacker(
            max_buffer_size=MAX_REQUEST_BYTES, read_size=_FIRST_BUFFER_BYTES
        )
        self._received = bytearray()
        self._scanned_before = 0

    @property
    def pending_bytes(self) -> int:
        """How many bytes belong to requests that were not returned yet."""
        return len(self._received)

    def feed(self, data: bytes) -> None:
        """Append received bytes.

        Raises:
            DataError: If the request would exceed `MAX_REQUEST_BYTES`.
        """
        self._received += data
        if len(self._received) > MAX_REQUEST_BYTES:
            raise DataError(f"a request exceeds {MAX_REQUEST_BYTES} bytes")
        self._scanner.feed(data)

    def next_request(self) -> Request | None:
        """Return the next complete request, or None when more bytes are needed.

        Raises:
            DataError: If the bytes are not MessagePack or not a request; the stream cannot be
                resynchronised, so the connection must be closed.
        """
        try:
            self._scanner.skip()
        except msgpack.OutOfData:
            return None
        except _UNDECODABLE as error:
            raise DataError(f"bytes that are no MessagePack: {type(error).__name__}") from error
        end = self._scanner.tell() - self._scanned_before
        self._scanned_before += end
        message = bytes(self._received[:end])
        del self._received[:end]
        return request_from_message(_decoded(message))


def _decoded(message: bytes) -> Any:
    """Decode one complete MessagePack object.

    Raises:
        DataError: If it holds what no request holds: maps, extensions, or too many arrays.
    """
    arrays = 0

    def count_array(array: list[Any]) -> list[Any]:
        nonlocal arrays
        arrays += 1
        if arrays > MAX_ARRAYS:
            raise ValueError(f"more than {MAX_ARRAYS} arrays")
        return array

    try:
        return msgpack.unpackb(
            message,
            raw=False,
            unicode_errors="surrogateescape",
            list_hook=count_array if len(message) > _UNCOUNTED_BYTES else None,
            max_array_len=MAX_ARRAYS,
            max_map_len=0,
            max_ext_len=0,
        )
    except _UNDECODABLE as error:
        raise DataError(f"bytes that are no request: {type(error).__name__}") from error


def request_from_message(message: Any) -> Request:
    """Check the form of a decoded message.

    The first parameter of every call is the metadata ``[fire_and_forget: bool]``, which is removed.
    Fire-and-forget calls are answered like the others, or the client's table of pending calls
    would grow for ever.

    Raises:
        DataError: If it is not a request.
    """
    message_id: int | None = None
    match message:
        case [int(kind), int(number), str(method), list(parameters)] if (
            kind == _REQUEST and 0 <= number <= _MAX_MESSAGE_ID
        ):
            message_id = number
        case [int(kind), str(method), list(parameters)] if kind == _NOTIFICATION:
            pass
        case _:
            raise DataError("a MessagePack object that is no MessagePack-RPC request")
    if parameters and isinstance(parameters[0], list):
        parameters = parameters[1:]
    return Request(message_id, method, parameters)


def pack_response(message_id: int, error: str | None, result: Any) -> bytes:
    """Encode one response."""
    return bytes(_packer.pack([_RESPONSE, message_id, error, result]))


def pack_value(value: Any) -> bytes:
    """Encode one value alone, as the payload of a MessagePack sensor message."""
    return bytes(_packer.pack(value))


def value_result(value: Any) -> list[Any]:
    """Wrap the value of a method that returns one."""
    return [[1, value]]


def value_error(message: str) -> list[Any]:
    """Wrap the error of a method that returns a value."""
    return [[0, [message]]]


#: The result of a method without a value that succeeded.
VOID_RESULT: list[Any] = [[False]]


def void_error(message: str) -> list[Any]:
    """Wrap the error of a method without a value."""
    return [[True, [message]]]
