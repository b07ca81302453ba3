"""Framing and values for inputs that nobody thought of."""

import contextlib
import math
from typing import Annotated

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import DataError
from sim.pocket.geometry import Transform, Vector3
from sim.pocket.protocol.framing import Request, RequestReader, request_from_message
from sim.pocket.protocol.values import (
    ActorDescription,
    EpisodeSettings,
    Exactly,
    Uint8,
    VehicleControl,
    WireError,
    from_wire,
    to_wire,
)
from sim.pocket.vehicles import VEHICLE_MODELS, PhysicsControl

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
KINDS = [
    float,
    Uint8,
    tuple[Vector3, float, bool],
    list[float | None],
    Annotated[tuple[float, ...], Exactly(3)],
    Transform,
    ActorDescription,
    EpisodeSettings,
    VehicleControl,
    PhysicsControl,
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


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(value=VALUES)
def test_any_value_is_read_or_refused(kind, value):
    with contextlib.suppress(WireError):
        from_wire(kind, value)


@given(st.floats() | st.integers())
def test_numbers_that_come_in_are_finite(value):
    try:
        number = from_wire(float, value)
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
    assert to_wire(from_wire(EpisodeSettings, wire)) == wire


@pytest.mark.parametrize("model", VEHICLE_MODELS, ids=lambda model: model.type_id)
def test_the_physics_of_every_vehicle_comes_back(model):
    wire = msgpack.unpackb(msgpack.packb(to_wire(model.physics)))
    assert from_wire(PhysicsControl, wire) == model.physics


def test_an_integer_beyond_its_bounds_and_a_short_tuple_are_refused():
    assert from_wire(Uint8, 255) == 255
    for kind, value in ((Uint8, 256), (Uint8, -1), (Uint8, True), (tuple[float, float], [1.0])):
        with pytest.raises(WireError, match="expected an"):
            from_wire(kind, value)
