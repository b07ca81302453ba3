"""JSON that would become more than anybody could want, or than there is room for.

A few kilobytes can inflate to megabytes of JSON, and JSON becomes fifty times its size when it is
read. Python does nothing else meanwhile, so it is looked at first.
"""

from __future__ import annotations

from typing import Final

from server.errors import RequestError

#: Smaller ones are read on the event loop, JSON of this size in 1 to 3 ms.
IN_PLACE_BYTES: Final = 128 << 10

#: Larger ones are read one at a time.
LARGE_BYTES: Final = 1 << 20

#: What orjson and the objects that it makes take for each of these characters, at most, beside as
#: many bytes as the text has: measured with orjson 3.13 and Python 3.11, a million values at a
#: time, flat and nested.
_OBJECT_BYTES: Final = ((b",", 56), (b"[", 93), (b"{", 86), (b":", 132), (b'"', 16))

#: What the JSON of one body may take when it is read.
_MOST_BYTES: Final = 64 << 20

#: So much is counted at a time; between them others get their turn.
_PIECE_BYTES: Final = 256 << 10


def require_few_values(json: bytes | memoryview, most: int) -> None:
    """Refuse JSON of more values than can be meant, or that takes much memory, without reading it.

    Args:
        json: The JSON.
        most: How many values large JSON may have; a text with commas counts as several.

    Raises:
        RequestError: 413.
    """
    if len(json) <= IN_PLACE_BYTES:
        return
    values, needed_bytes = 1, len(json)
    for begin in range(0, len(json), _PIECE_BYTES):
        piece = bytes(json[begin : begin + _PIECE_BYTES])
        values += piece.count(b",")
        needed_bytes += sum(each * piece.count(one) for one, each in _OBJECT_BYTES)
        if values > most + 1 and len(json) > LARGE_BYTES:
            raise RequestError(
                413,
                f"the JSON has {values:,} or more values, at most {most:,} are of use here; "
                "send large tensors as binary data",
            )
        if needed_bytes > _MOST_BYTES:
            raise RequestError(
                413,
                f"reading the JSON would take more than {_MOST_BYTES >> 20} MiB of memory; send "
                "less at once, or large tensors as binary data",
            )
