"""The bounded reader of MessagePack-RPC requests."""

import tracemalloc

import msgpack
import pytest

from bicameral.errors import DataError
from sim.pocket.protocol.framing import (
    MAX_REQUEST_BYTES,
    Request,
    RequestReader,
    pack_response,
    request_from_message,
)


def read_all(*chunks: bytes) -> list[Request]:
    reader = RequestReader()
    requests = []
    for chunk in chunks:
        reader.feed(chunk)
        while (request := reader.next_request()) is not None:
            requests.append(request)
    return requests


def packed(number: int, name: str, *arguments: object) -> bytes:
    return msgpack.packb([0, number, name, [[False], *arguments]])


def test_the_metadata_is_not_an_argument():
    assert read_all(packed(7, "version")) == [Request(7, "version", [])]


def test_requests_may_share_a_segment_or_span_many():
    data = packed(1, "a", 1.5) + packed(2, "b", "text")
    expected = [Request(1, "a", [1.5]), Request(2, "b", ["text"])]
    assert read_all(data) == expected
    assert read_all(*(data[i : i + 1] for i in range(len(data)))) == expected


def test_a_notification_has_no_id():
    assert request_from_message([2, "x", []]) == Request(None, "x", [])


@pytest.mark.parametrize(
    "message",
    [
        1,
        None,
        "GET",
        [],
        [0],
        [1, 2, None, None],
        [0, "1", "a", []],
        [0, 1, 5, []],
        [0, -1, "a", []],
    ],
)
def test_what_is_no_request_is_refused(message):
    with pytest.raises(DataError):
        request_from_message(message)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x81\x01\x01",
        b"\xc1",
        b"\x91" * 5000,
        b"\xd4\x01\x01",
    ],
    ids=["http", "map", "reserved", "nested", "ext"],
)
def test_bytes_that_are_no_protocol_are_refused(data):
    with pytest.raises(DataError):
        read_all(data)


def test_a_request_beyond_the_limit_is_refused():
    reader = RequestReader()
    reader.feed(b"\x94\x00\x01\xa1a\xdd" + (200_000).to_bytes(4, "big"))
    chunk = b"\xc5\xff\xff" + bytes(0xFFFF)
    for _ in range(MAX_REQUEST_BYTES // len(chunk)):
        reader.feed(chunk)
        assert reader.next_request() is None
    with pytest.raises(DataError, match="exceeds"):
        reader.feed(chunk)


def test_a_request_with_too_many_arrays_is_refused():
    many = b"\xdd" + (60_000).to_bytes(4, "big") + b"\x90" * 60_000
    with pytest.raises(DataError):
        read_all(b"\x94\x00\x01\xa1a\x95" + many * 5)


def test_announced_lengths_reserve_no_memory():
    tracemalloc.start()
    reader = RequestReader()
    reader.feed(b"\xdd\x00\x03\xff\xff" * 100)
    assert reader.next_request() is None
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_pending_bytes_are_those_of_the_unfinished_request():
    reader = RequestReader()
    whole, half = packed(1, "a"), packed(2, "b" * 100)[:50]
    reader.feed(whole + half)
    assert reader.next_request() == Request(1, "a", [])
    assert reader.next_request() is None
    assert reader.pending_bytes == len(half)


def test_text_that_is_not_utf8_survives_the_round_trip():
    data = b"\x94\x00\x01\xa1a\x92\x91\xc2\xa2\xff\xfe"
    (request,) = read_all(data)
    response = pack_response(1, None, request.arguments[0])
    assert response.endswith(b"\xa2\xff\xfe")


def test_a_response_carries_id_error_and_result():
    assert msgpack.unpackb(pack_response(9, "no", None)) == [1, 9, "no", None]
    assert msgpack.unpackb(pack_response(9, None, [[1, b"x"]])) == [1, 9, None, [[1, b"x"]]]
