"""Framing and values for inputs that nobody thought of."""

import contextlib
import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import DataError
from sim.pocket.protocol.framing import Request, RequestReader, request_from_message
from sim.pocket.protocol.values import (
    WireError,
    description_from_wire,
    number_from_wire,
    settings_from_wire,
    transform_from_wire,
    wire_from_settings,
)
from sim.pocket.protocol.vehicle_values import control_from_wire, physics_from_wire

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda children: st.lists(children, max_size=6),
    max_leaves=12,
)
ARGUMENTS = st.lists(VALUES.filter(lambda value: value == value), max_size=4)
READERS = [
    number_from_wire,
    transform_from_wire,
    description_from_wire,
    settings_from_wire,
    control_from_wire,
    physics_from_wire,
]


def drain(reader: RequestReader) -> list[Request]:
    found = []
    while (request := reader.next_request()) is not None:
        found.append(request)
    return found


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.text(max_size=20), ARGUMENTS), max_size=3),
    st.integers(1, 64),
)
def test_requests_survive_any_segmentation(calls, segment):
    data = b"".join(
        msgpack.packb([0, number, name, [[False], *arguments]], unicode_errors="surrogatepass")
        for number, name, arguments in calls
    )
    reader = RequestReader()
    found = []
    for start in range(0, len(data), segment):
        reader.feed(data[start : start + segment])
        found += drain(reader)
    assert repr(found) == repr([Request(*call) for call in calls])
    assert reader.pending_bytes == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_requests_or_refused(data):
    reader = RequestReader()
    reader.feed(data)
    try:
        drain(reader)
    except DataError:
        return
    assert reader.pending_bytes <= len(data)


@given(VALUES)
def test_any_message_is_a_request_or_refused(message):
    try:
        request = request_from_message(message)
    except DataError:
        return
    assert isinstance(request.method, str)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@given(value=VALUES)
def test_any_value_is_read_or_refused(reader, value):
    with contextlib.suppress(WireError):
        reader(value)


@given(st.floats() | st.integers())
def test_numbers_that_come_in_are_finite(value):
    try:
        number = number_from_wire(value)
    except WireError:
        return
    assert math.isfinite(number)


@given(
    st.booleans(),
    st.none() | st.floats(0.001, 1.0),
    st.integers(0, 100),
    st.floats(0.0, 1e6),
)
def test_settings_come_back(synchronous, delta_s, substeps, distance):
    optional = [False] if delta_s is None else [True, delta_s]
    wire = [synchronous, False, optional, True, 0.01, substeps, 0.0, True, distance, 1.0, False]
    assert wire_from_settings(settings_from_wire(wire)) == wire
