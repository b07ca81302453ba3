"""Maps that somebody else made: mended where the meaning is plain, else refused with a reason."""

from __future__ import annotations

import math

import carla
import pytest

from bicameral.errors import DataError
from sim.pocket.foreign_maps import find_fault, mend, verdict
from sim.pocket.map_store import MapStore, parse, source_of_text

LINE = '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry>'
WIDTH = '<width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
CENTRE = '<center><lane id="0" type="none"/></center>'
SECTION = (
    f'<laneSection s="0"><left><lane id="1" type="driving">{WIDTH}</lane></left>{CENTRE}'
    f'<right><lane id="-1" type="driving">{WIDTH}</lane></right></laneSection>'
)
MAP = (
    '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4"/>'
    f'<road id="1" junction="-1" length="200"><planView>{LINE}</planView><lanes>{SECTION}</lanes>'
    "<signals></signals></road></OpenDRIVE>"
)
REFERENCE = '<signalReference s="20" t="-4" id="99" orientation="+"/>'
SIGNAL = '<signal s="20" t="-4" id="99" type="1000001" subtype="-1" orientation="+" name="x"/>'
CONNECTION = '<connection id="0" incomingRoad="1" connectingRoad="77" contactPoint="start"/>'
SECOND_SECTION = SECTION.replace('s="0"', 's="100"', 1).replace('"-1"', '"-2"')
LINKED = SECTION.replace(
    'id="-1" type="driving">', 'id="-1" type="driving"><link><successor id="-5"/></link>'
)

MENDED = {
    "a comment before the declaration": "<!-- licence -->\n" + MAP,
    "two comments and space before the declaration": " <!-- a -->\n<!-- b --> " + MAP,
    "an arc of curvature 0": MAP.replace("<line/>", '<arc curvature="0"/>'),
    "an arc of curvature 0.0": MAP.replace("<line/>", '<arc curvature="-0.0"/>'),
    "a spiral from 0 to 0": MAP.replace("<line/>", '<spiral curvStart="0" curvEnd="0.0"/>'),
    "a spiral of constant curvature": MAP.replace(
        "<line/>", '<spiral curvStart="0.01" curvEnd="0.01"/>'
    ),
    "a reference to no signal": MAP.replace("<signals>", f"<signals>{REFERENCE}"),
    "a namespace": MAP.replace("<OpenDRIVE>", '<OpenDRIVE xmlns="http://example.org">'),
}  # fmt: skip
REFUSED = {
    "a junction that names no road": (
        MAP.replace("</OpenDRIVE>", f'<junction id="5">{CONNECTION}</junction></OpenDRIVE>'),
        "road 77: junction 5 names it",
    ),
    "a gap in the lane ids": (
        MAP.replace('<lane id="-1"', '<lane id="-2"'),
        r"road 1: its lane ids \[-2, 0, 1\] have a gap",
    ),
    "no centre lane": (MAP.replace(CENTRE, ""), r"road 1: its lane ids \[-1, 1\] have a gap"),
    "no geometry": (MAP.replace(LINE, ""), "road 1: it has no <geometry>"),
    "geometry from 50 m on": (
        MAP.replace('<geometry s="0"', '<geometry s="50"'),
        "road 1: its first <geometry> begins at 50 m",
    ),
    "a lane section behind the end": (
        MAP.replace(SECTION, SECTION + SECTION.replace('s="0"', 's="900"', 1)),
        "road 1: a <laneSection> begins at 900 m",
    ),
    "a length of 0": (MAP.replace('length="200"', 'length="0"'), "road 1: its length is 0"),
    "a direction that is no number": (
        MAP.replace('hdg="0"', 'hdg="nan"'),
        "road 1: its geometry gives no finite place",
    ),
    "a lane that goes on as none": (
        MAP.replace(SECTION, LINKED + SECOND_SECTION.replace('"-2"', '"-1"')),
        "road 1: its lane -1 goes on as lane -5",
    ),
}


@pytest.mark.parametrize("text", MENDED.values(), ids=MENDED)
def test_a_harmless_fault_is_mended(text):
    waypoints = carla.Map("mended", mend(text)).generate_waypoints(2.0)
    places = [waypoint.transform.location for waypoint in waypoints]
    assert len(places) >= 190
    assert all(math.isfinite(place.x) and math.isfinite(place.y) for place in places)


def test_a_sound_map_is_left_as_it_is():
    sound = MAP.replace("<signals>", f"<signals>{SIGNAL}{REFERENCE}")
    assert mend(sound) == sound


def test_what_is_no_xml_is_refused_with_its_place():
    with pytest.raises(DataError, match=r"no XML: .*line 1"):
        mend("<OpenDRIVE><road")
    with pytest.raises(DataError, match="no XML"):
        mend("<OpenDRIVE>\udc80</OpenDRIVE>")


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_map_that_the_parser_refuses_or_dies_of_gets_a_reason(text, reason):
    with pytest.raises(DataError, match=reason):
        parse(source_of_text("foreign", text))


def test_a_sound_map_is_tried_once_and_remembered_by_later_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_fault(MAP) is None
    assert verdict(MAP) is None
    assert parse(source_of_text("foreign", MAP)).carla_map.get_topology()
    monkeypatch.setattr("sim.pocket.foreign_maps.MapTrial", None)
    assert verdict(MAP) == ""
    assert parse(source_of_text("foreign", MAP)).carla_map.get_topology()
    monkeypatch.setattr("sim.pocket.foreign_maps._passed", set())
    assert verdict(MAP) == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    monkeypatch.setattr("sim.pocket.foreign_maps._passed", set())
    assert verdict(MAP) is None


def test_shipped_and_generated_towns_are_not_tried(monkeypatch):
    monkeypatch.setattr("sim.pocket.foreign_maps.MapTrial", None)
    for name in ("Harbour", "Train01"):
        source = MapStore().source(name)
        assert not source.foreign
        assert MapStore().load(name).spawn_points
