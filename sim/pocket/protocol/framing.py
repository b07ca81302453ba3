"""MessagePack-RPC framing with bounds, so that no sender can make the server grow.

The TCP stream is a plain concatenation of MessagePack objects in both directions, without a length
prefix. A request is ``[0, id, method, [metadata, *arguments]]``, a response ``[1, id, error,
result]``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgpack

from bicameral.errors import DataError

#: Largest request. The largest legitimate ones are an OpenDRIVE text (Town04: 2 MB) and a texture.
MAX_REQUEST_BYTES = 32 << 20
#: Longest array, and most arrays in one request: those of a 512 x 512 texture. The decoder reserves
#: the announced length at once, so this bounds what a five-byte header can ask for, and Python
#: needs sixty bytes for an empty array that takes one on the wire.
MAX_ARRAY_LENGTH = 1 << 18
MAX_ARRAYS = MAX_ARRAY_LENGTH + 64
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
    """Cuts a byte stream into requests."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="surrogateescape",
            list_hook=self._count_array,
            max_buffer_size=MAX_REQUEST_BYTES,
            max_array_len=MAX_ARRAY_LENGTH,
            max_map_len=0,
            max_ext_len=0,
        )
        self._fed_bytes = 0
        self._unfinished_bytes = 0
        self._arrays = 0

    @property
    def pending_bytes(self) -> int:
        """How many bytes belong to requests that were not returned yet."""
        return self._fed_bytes

    def feed(self, data: bytes) -> None:
        """Append received bytes.

        Raises:
            DataError: If the request would exceed `MAX_REQUEST_BYTES`.
        """
        self._fed_bytes += len(data)
        if self._fed_bytes > MAX_REQUEST_BYTES:
            raise DataError(f"a request exceeds {MAX_REQUEST_BYTES} bytes")
        self._unpacker.feed(data)

    def next_request(self) -> Request | None:
        """Return the next complete request, or None when more bytes are needed.

        Raises:
            DataError: If the bytes are not MessagePack or not a request; the stream cannot be
                resynchronised, so the connection must be closed.
        """
        began = self._unpacker.tell()
        try:
            message = self._unpacker.unpack()
        except msgpack.OutOfData:
            self._unfinished_bytes += self._unpacker.tell() - began
            return None
        except _UNDECODABLE as error:
            raise DataError(f"bytes that are no MessagePack: {type(error).__name__}") from error
        self._fed_bytes -= self._unfinished_bytes + self._unpacker.tell() - began
        self._unfinished_bytes = 0
        self._arrays = 0
        return request_from_message(message)

    def _count_array(self, array: list[Any]) -> list[Any]:
        self._arrays += 1
        if self._arrays > MAX_ARRAYS:
            raise ValueError(f"a request holds more than {MAX_ARRAYS} arrays")
        return array


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
