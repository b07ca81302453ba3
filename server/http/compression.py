"""Compressed bodies, inflated no further than allowed."""

from __future__ import annotations

import zlib
from typing import Final

from server.errors import RequestError

#: Values of ``Content-Encoding`` and zlib's ``wbits`` for them: gzip (RFC 1952) and what HTTP calls
#: deflate, the zlib format (RFC 1950).
_WINDOW_BITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo a content encoding.

    Args:
        body: The compressed body.
        encoding: Value of the header ``Content-Encoding``.
        max_bytes: Size of the result at most; no more memory is used on the way.

    Raises:
        RequestError: 413 if the result is larger; 415 if the encoding is not known; 400 if the body
            is damaged or incomplete.
    """
    window_bits = _WINDOW_BITS.get(encoding.strip().lower())
    if window_bits is None:
        raise RequestError(
            415,
            f"the body has the content encoding {encoding[:40]!r}, expected one of "
            f"{', '.join(_WINDOW_BITS)}, or none",
        )
    inflater = zlib.decompressobj(window_bits)
    try:
        # One byte more than allowed tells that there is more.
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, f"the body is no {encoding}: {error}") from None
    if len(inflated) > max_bytes:
        raise RequestError(
            413, f"the inflated body is larger than the {max_bytes:,} bytes that are allowed"
        )
    if not inflater.eof:
        raise RequestError(400, f"the {encoding} body ends too early; send all of it")
    if inflater.unused_data:
        raise RequestError(
            400, f"{len(inflater.unused_data)} bytes follow the {encoding} body, expected none"
        )
    return inflated
