"""Compressed bodies are inflated, and no further than allowed."""

from __future__ import annotations

import gzip
import zlib

import pytest

from server.errors import RequestError
from server.http.compression import inflate

BODY = b'{"inputs":[]}' * 20


def _refused(body: bytes, encoding: str, max_bytes: int = 1000) -> RequestError:
    with pytest.raises(RequestError) as refused:
        inflate(body, encoding, max_bytes)
    return refused.value


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("deflate", zlib.compress(BODY)),
        ("GZIP ", gzip.compress(BODY, mtime=0)),
    ],
)
def test_gzip_and_deflate_are_undone(encoding: str, body: bytes) -> None:
    assert inflate(body, encoding, len(BODY)) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_inflates_too_far_is_refused(encoding: str) -> None:
    compressed = (gzip if encoding == "gzip" else zlib).compress(BODY)
    error = _refused(compressed, encoding, len(BODY) - 1)
    assert error.status == 413
    assert f"{len(BODY) - 1:,} bytes" in error.message


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    # 64 MB of zeros.
    compressor = zlib.compressobj(9)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(64)) + compressor.flush()
    assert len(bomb) < 1 << 17
    assert _refused(bomb, "deflate", 1 << 20).status == 413


@pytest.mark.parametrize("body", [b"", b"no gzip at all", gzip.compress(BODY, mtime=0)[:-9]])
def test_a_damaged_or_incomplete_body_is_refused(body: bytes) -> None:
    error = _refused(body, "gzip")
    assert error.status == 400
    assert "gzip" in error.message


def test_bytes_behind_the_end_are_refused() -> None:
    error = _refused(gzip.compress(BODY, mtime=0) + b"more", "gzip")
    assert error.status == 400
    assert "4 bytes follow" in error.message


def test_other_encodings_are_refused_with_the_known_ones() -> None:
    error = _refused(BODY, "br")
    assert error.status == 415
    assert all(word in error.message for word in ("'br'", "gzip", "deflate"))
