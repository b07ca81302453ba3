"""Files of recordings, and the texts about them."""

import zlib

import numpy as np
import pytest

from bicameral.errors import DataError, UserError
from sim.pocket.geometry import Vector3
from sim.pocket.protocol.values import ActorDescription, AttributeValue, BoundingBox
from sim.pocket.recording.file import (
    MAGIC,
    RECORD,
    About,
    Frame,
    RecordedCollision,
    Recording,
    RecordingWriter,
    SpawnedActor,
)
from sim.pocket.recording.text import describe, describe_blocked, describe_collisions
from sim.pocket.world.recorder import RecordingPlaces

ABOUT = About("Harbour", "00" * 32, "2026-01-02 03:04:05", False)
STEP_S = 0.5
CAR, HERO, WALKER = 7, 8, 9


def spawned(actor_id, type_id, role="autopilot"):
    description = ActorDescription(0, type_id, (AttributeValue("role_name", 4, role),))
    box = BoundingBox(Vector3(0.0, 0.0, 0.7), Vector3(2.0, 1.0, 0.7))
    return SpawnedActor(actor_id, 0, description, box, 14)


ACTORS = (
    spawned(CAR, "vehicle.tesla.model3"),
    spawned(HERO, "vehicle.audi.tt", "hero"),
    spawned(WALKER, "walker.pedestrian.0001"),
)


def frames(count=6):
    """The car stands, the hero drives 1 m a frame into it, the walker leaves in frame 4."""
    for number in range(count):
        records = np.zeros(3 if number < 4 else 2, RECORD)
        records["id"] = [CAR, HERO, WALKER][: len(records)]
        records["location"][1] = [number, 2.0, 0.25]
        records["velocity"][1] = [2.0, 0.0, 0.0]
        yield Frame(
            time_s=number * STEP_S,
            step_s=STEP_S,
            platform_s=float(number),
            spawned=ACTORS if number == 0 else (),
            destroyed=(WALKER,) if number == 4 else (),
            collisions=(RecordedCollision(CAR, HERO, 14),) if number in (2, 3, 5) else (),
            weather=(1.0,) * 14 if number == 0 else (),
            actors=records,
        )


@pytest.fixture
def path(tmp_path):
    writer = RecordingWriter(tmp_path / "run.log", ABOUT)
    for frame in frames():
        writer.write(frame)
    writer.close()
    return writer.path


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        if name == "actors"
        else getattr(one, name) == getattr(other, name)
        for name in Frame.__slots__
    )


def test_what_was_written_is_read(path):
    recording = Recording(path)
    assert recording.about == ABOUT
    assert (len(recording), recording.duration_s, recording.unread_bytes) == (6, 2.5, 0)
    assert all(map(same, recording.frames(), frames()))


@pytest.mark.parametrize("lost", [1, 20, 150])
def test_a_file_that_was_cut_off_is_read_up_to_its_last_whole_frame(path, lost):
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    recording = Recording(path)
    assert 0 < len(recording) < 6
    assert all(map(same, recording.frames(), frames(len(recording))))
    assert recording.unread_bytes > 0
    text = describe(recording, show_all=False)
    assert f"the last {recording.unread_bytes} bytes are no whole tick" in text


def test_a_frame_that_was_spoilt_and_all_after_it_are_left_out(path):
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 0xFF
    path.write_bytes(bytes(whole))
    assert len(Recording(path)) == 5


def test_a_recording_takes_the_place_of_an_old_one(path):
    RecordingWriter(path, ABOUT._replace(town="Ridgeway")).close()
    recording = Recording(path)
    assert (recording.about.town, len(recording)) == ("Ridgeway", 0)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_recording_that_grows_can_be_read(tmp_path):
    writer = RecordingWriter(tmp_path / "run.log", ABOUT)
    for number, frame in enumerate(frames(), start=1):
        writer.write(frame)
        assert len(Recording(writer.path)) == number
    writer.close()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no recording of the pocket simulator"),
        (b"#!/bin/sh\n", "no recording of the pocket simulator"),
        (b"\x01\x00\x0e\x00CARLA_RECORDER", "CARLA's own format"),
    ],
)
def test_other_files_are_neither_read_nor_overwritten(tmp_path, content, what):
    path = tmp_path / "other.log"
    path.write_bytes(content)
    with pytest.raises(DataError, match=what):
        Recording(path)
    with pytest.raises(DataError, match="nothing was overwritten"):
        RecordingWriter(path, ABOUT)
    assert path.read_bytes() == content


@pytest.mark.parametrize("body", [b"", b"x", zlib.compress(b"\x90"), zlib.compress(b"\x80")])
def test_a_file_that_only_begins_like_a_recording_is_refused(tmp_path, body):
    path = tmp_path / "run.log"
    header = len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + bytes(8)
    path.write_bytes(MAGIC + header + body)
    with pytest.raises(DataError):
        Recording(path)
    path.write_bytes(MAGIC)
    with pytest.raises(DataError, match="does not say what was recorded"):
        Recording(path)


def test_places_that_are_no_numbers_are_refused(tmp_path):
    writer = RecordingWriter(tmp_path / "run.log", ABOUT)
    frame = next(frames())
    frame.actors["location"][0] = np.nan
    writer.write(frame)
    writer.close()
    with pytest.raises(DataError, match=r"frame 1 .* the location of an actor is no number"):
        Recording(writer.path).frame(0)


def test_the_text_tells_events_and_on_demand_all_states(path):
    recording = Recording(path)
    short, long = (describe(recording, show_all=flag) for flag in (False, True))
    for line in (
        "Map: Harbour",
        "Frame 1 at 0 seconds",
        " Create 8: vehicle.audi.tt (1) at (0, 200, 25)",
        "  role_name = hero",
        "Frame 3 at 1 seconds",
        " Collision id 0 between 8 (hero)  with 7",
        " Destroy 9",
        "Frames: 6",
        "Duration: 2.5 seconds",
    ):
        assert line in short.splitlines()
        assert line in long.splitlines()
    assert "Frame 2 " not in short
    assert "  Id: 8 Location: (100, 200, 25) Rotation: (0, 0, 0)" in long.splitlines()
    velocity = "  Id: 8 linear_velocity: (2, 0, 0) angular_velocity: (0, 0, 0)"
    assert long.count(velocity) == 6


@pytest.mark.parametrize(
    ("kinds", "times"),
    [("aa", [1, 2]), ("vv", [1, 2]), ("vh", [1, 2]), ("hv", []), ("va", [1, 2]), ("vw", [])],
)
def test_the_text_of_collisions_tells_when_each_began(path, kinds, times):
    lines = describe_collisions(Recording(path), *kinds).splitlines()
    found = [line.split() for line in lines if "tesla" in line]
    assert [int(line[0]) for line in found] == times
    assert all(line[3:] == ["7", "vehicle.tesla.model3", "8", "vehicle.audi.tt"] for line in found)


def test_an_unknown_kind_of_actor_is_refused(path):
    with pytest.raises(UserError, match="'x' is no kind of actor"):
        describe_collisions(Recording(path), "a", "x")


@pytest.mark.parametrize(
    ("shortest_s", "reach_m", "who"),
    [(2.0, 0.5, [CAR]), (1.5, 0.5, [CAR, WALKER]), (1.0, 3.0, [CAR, WALKER, HERO, HERO])],
)
def test_the_text_of_blocked_actors_tells_who_stood(path, shortest_s, reach_m, who):
    lines = describe_blocked(Recording(path), shortest_s, reach_m).splitlines()
    title = next(number for number, line in enumerate(lines) if "Duration" in line)
    found = [line.split() for line in lines[title + 1 :] if line and line[0] == " "]
    assert [int(line[1]) for line in found] == who


def test_names_lie_in_the_folder_and_paths_where_they_say(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    places = RecordingPlaces()
    assert places.path("a/run.log") == tmp_path / "bicameral" / "recordings" / "a" / "run.log"
    assert places.path("/somewhere/run.log").as_posix() == "/somewhere/run.log"
    with pytest.raises(UserError, match="listens to the network"):
        RecordingPlaces(anywhere=False).path("/somewhere/run.log")
    for name in ("", "../run.log", "a/../../run.log", "a\0b"):
        with pytest.raises(UserError, match="names no recording"):
            places.path(name)
