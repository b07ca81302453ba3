"""Traffic lights follow the map's signals and CARLA's cycle."""

import copy
import math
import re
from pathlib import Path

import carla
import pytest

from bicameral.errors import UserError
from sim.pocket.geometry import Vector3
from sim.pocket.signal_map import TRIGGER_DISTANCE_M, TRIGGER_LENGTH_M
from sim.pocket.signal_phases import read_phases
from sim.pocket.traffic_lights import LightState, TrafficLights

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
MAPS = {
    "Town01": ROOT.parent / "shared" / "towns" / "Town01.xodr",
    "Town04": ROOT.parent / "shared" / "towns" / "Town04.xodr",
    "Harbour": ROOT / "sim" / "pocket" / "maps" / "Harbour.xodr",
    "Ridgeway": ROOT / "sim" / "pocket" / "maps" / "Ridgeway.xodr",
}


def load(name):
    path = MAPS.get(name, MAPS["Town01"].with_stem(name))
    if not path.is_file():
        pytest.skip(f"the map {name} is not on this machine")
    return carla.Map(name, path.read_text())


@pytest.fixture(scope="module", params=MAPS)
def carla_map(request):
    return load(request.param)


@pytest.fixture(scope="module")
def fresh_lights(carla_map):
    return TrafficLights(carla_map)


@pytest.fixture
def lights(fresh_lights):
    return copy.deepcopy(fresh_lights)


@pytest.fixture
def junction(lights):
    """The lights of one junction with several phases."""
    return next([lights.light(i) for i in x.group] for x in lights.lights if len(x.group) >= 3)


def states(group):
    return [light.state for light in group]


def test_every_signal_is_one_light(carla_map, lights):
    signals = {landmark.id for landmark in carla_map.get_all_landmarks_of_type("1000001")}
    assert {light.opendrive_id for light in lights.lights} == signals


def test_every_light_watches_a_lane(lights):
    assert all(light.trigger_boxes for light in lights.lights)


CAR = Vector3(2.4, 1.0, 0.75)


def before_line(place, metres):
    """Where a vehicle's origin is when its middle is so far before the line of a trigger box."""
    back = metres - TRIGGER_DISTANCE_M - 0.5 * TRIGGER_LENGTH_M
    yaw = math.radians(place.yaw_deg)
    x, y, z = place.location
    return Vector3(x - back * math.cos(yaw), y - back * math.sin(yaw), z - 1.0)


def test_a_vehicle_before_the_stop_line_finds_its_light_and_only_when_heading_there(lights):
    for light in lights.lights:
        place = light.trigger_boxes[0]
        middle = before_line(place, 3.0)
        found = lights.light_for(middle, place.yaw_deg, CAR)
        assert found is not None
        assert found.opendrive_id in light.group
        assert lights.light_for(middle, place.yaw_deg + 180.0, CAR) is not light


def test_a_vehicle_obeys_the_light_from_its_bumper_on_and_does_not_queue_in_the_area(lights):
    for light in lights.lights:
        place = light.trigger_boxes[0]
        area_m = TRIGGER_DISTANCE_M + TRIGGER_LENGTH_M
        bumper_in = before_line(place, area_m + CAR.x - 0.1)
        assert lights.light_for(bumper_in, place.yaw_deg, CAR) is not None
        bumper_out = before_line(place, area_m + CAR.x + 0.1)
        assert lights.light_for(bumper_out, place.yaw_deg, CAR) is not light
        assert area_m < 2.0 * CAR.x  # no room for a second car's bumper behind the first


def test_a_vehicle_on_the_next_lane_does_not_obey(lights):
    for light in lights.lights:
        for place in light.trigger_boxes:
            beside_m = place.half_extent.y + CAR.y + 0.1
            yaw = math.radians(place.yaw_deg)
            middle = before_line(place, 3.0)
            side = Vector3(
                middle.x - beside_m * math.sin(yaw), middle.y + beside_m * math.cos(yaw), middle.z
            )
            assert lights.light_for(side, place.yaw_deg, CAR) is not light


def test_the_stop_line_lies_before_a_junction(carla_map, lights):
    for light in lights.lights:
        for place in light.trigger_boxes:
            middle = carla.Location(place.location.x, place.location.y, place.location.z)
            waypoint = carla_map.get_waypoint(middle)
            ahead = waypoint.next(8.0)
            assert any(point.is_junction for point in ahead) or waypoint.is_junction


def test_no_light_far_from_all_junctions(lights):
    assert lights.light_for(Vector3(9999.0, 9999.0, 0.0), 0.0, CAR) is None


def test_groups_contain_each_other(lights):
    for light in lights.lights:
        assert light.opendrive_id in light.group
        assert all(lights.light(other).group == light.group for other in light.group)
        assert light.group[light.pole_index] == light.opendrive_id


def test_some_approaches_are_green_and_crossing_ones_red(lights):
    for light in lights.lights:
        group = [lights.light(i) for i in light.group]
        assert LightState.GREEN in states(group)
        for one in group:
            for other in group:
                turn = (one.approach_yaw_deg - other.approach_yaw_deg) % 180.0
                if 60.0 < turn < 120.0:
                    assert LightState.RED in (one.state, other.state)


def test_green_lasts_10_s_yellow_3_s_and_then_everybody_waits_2_s(lights, junction):
    first = states(junction)
    for _ in range(199):
        lights.step(0.05)
    assert states(junction) == first
    lights.step(0.05)
    assert LightState.YELLOW in states(junction)
    assert LightState.GREEN not in states(junction)
    for _ in range(60):
        lights.step(0.05)
    assert set(states(junction)) == {LightState.RED}
    for _ in range(40):
        lights.step(0.05)
    assert LightState.GREEN in states(junction)
    assert states(junction) != first


def test_everybody_gets_green_within_a_cycle(lights, junction):
    seen = set()
    for _ in range(1200):
        lights.step(0.05)
        seen |= {light.opendrive_id for light in junction if light.state == LightState.GREEN}
    assert seen == {light.opendrive_id for light in junction}


def test_a_long_step_equals_many_short_ones(carla_map):
    slow, fast = TrafficLights(carla_map), TrafficLights(carla_map)
    for _ in range(500):
        slow.step(0.05)
    fast.step(25.0)
    assert states(slow.lights) == states(fast.lights)


def test_elapsed_time_counts_from_the_last_change(lights, junction):
    for _ in range(220):
        lights.step(0.05)
    yellow = next(light for light in junction if light.state == LightState.YELLOW)
    assert yellow.elapsed_s == pytest.approx(1.0)


def test_a_frozen_group_stands_still_and_the_others_go_on(lights, junction):
    lights.freeze(junction[0].opendrive_id, True)
    before = states(junction)
    others = [light for light in lights.lights if light not in junction]
    for _ in range(210):
        lights.step(0.05)
    assert states(junction) == before
    assert any(light.state == LightState.YELLOW for light in others)
    lights.freeze(junction[0].opendrive_id, False)
    lights.step(10.0)
    assert LightState.YELLOW in states(junction)


def test_freeze_all_stops_everything(lights):
    lights.freeze_all(True)
    before = states(lights.lights)
    lights.step(100.0)
    assert states(lights.lights) == before


def test_a_set_state_holds_until_the_cycle_changes_it(lights, junction):
    red = next(light for light in junction if light.state == LightState.RED)
    lights.set_state(red.opendrive_id, LightState.GREEN)
    lights.step(0.05)
    assert red.state == LightState.GREEN
    for _ in range(200):
        lights.step(0.05)
    assert red.state == LightState.RED


def test_changed_times_are_used(lights, junction):
    green = next(light for light in junction if light.state == LightState.GREEN)
    lights.set_time(green.opendrive_id, LightState.GREEN, 2.0)
    lights.set_time(green.opendrive_id, LightState.YELLOW, 1.0)
    lights.step(2.0)
    assert green.state == LightState.YELLOW
    lights.step(1.0)
    assert green.state == LightState.RED
    assert (green.times_s[LightState.GREEN], green.times_s[LightState.YELLOW]) == (2.0, 1.0)


def test_reset_begins_anew(lights, junction):
    first = states(junction)
    lights.step(12.0)
    lights.reset_group(junction[0].opendrive_id)
    assert states(junction) == first
    lights.step(12.0)
    lights.reset_all()
    assert states(junction) == first


def test_wrong_ids_states_and_times_are_user_errors(lights):
    known = lights.lights[0].opendrive_id
    with pytest.raises(UserError, match="unknown traffic light"):
        lights.set_state("no such light", LightState.RED)
    with pytest.raises(UserError, match="state 9"):
        lights.set_state(known, 9)
    with pytest.raises(UserError, match="traffic light time"):
        lights.set_time(known, LightState.GREEN, float("nan"))


def crossing_with(controllers, junction_controllers):
    """Harbour's text with other controllers; lights 52 to 55 belong to the junction 1006."""
    text = MAPS["Harbour"].read_text().replace('vendor="bicameral"', 'vendor="x"')
    text = re.sub(r"<controller [^>]*/>", "", text)
    text = re.sub(r"<controller .*?</controller>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<junction id="1006"[^>]*>)', rf"\1{junction_controllers}", text)
    return TrafficLights(
        carla.Map("crossing", text.replace("</OpenDRIVE>", f"{controllers}</OpenDRIVE>"))
    )


def greens_of_a_cycle(lights, ids):
    greens = []
    for _ in range(2 * 60):
        green = [i for i in ids if lights.light(i).state == LightState.GREEN]
        if green and (not greens or greens[-1] != green):
            greens.append(green)
        lights.step(0.5)
    return greens


def controller(number, *signals):
    controls = "".join(f'<control signalId="{i}" type="0"/>' for i in signals)
    return f'<controller id="{number}" name="c{number}">{controls}</controller>'


def test_the_controllers_of_a_junction_take_turns_in_its_order():
    lights = crossing_with(
        controller(1, 52, 53) + controller(2, 54, 54) + controller(3, 55),
        '<controller id="1" sequence="2"/><controller id="2" sequence="0"/>'
        '<controller id="3" sequence="1"/>',
    )
    ids = ("52", "53", "54", "55")
    assert greens_of_a_cycle(lights, ids) == [["54"], ["55"], ["52", "53"], ["54"]]
    assert lights.light("54").group == ids
    lights.reset_group("54")
    lights.set_time("52", LightState.GREEN, 4.0)
    assert [lights.light(i).times_s[LightState.GREEN] for i in ids] == [4.0, 4.0, 10.0, 10.0]


def test_a_light_of_two_controllers_is_green_with_one_of_them():
    lights = crossing_with(
        controller(1, 52, 53) + controller(2, 53, 54),
        '<controller id="1" sequence="0"/><controller id="2" sequence="1"/>',
    )
    greens = greens_of_a_cycle(lights, ("52", "53", "54", "55"))
    assert greens[:3] == [["52"], ["53", "54"], ["55"]]


def test_lights_without_a_controller_go_by_direction_after_the_others():
    lights = crossing_with(controller(2, 55), '<controller id="2" sequence="0"/>')
    assert greens_of_a_cycle(lights, ("52", "53", "54", "55"))[:3] == [["55"], ["52"], ["53", "54"]]
    plain = crossing_with("", "")
    assert greens_of_a_cycle(plain, ("52", "53", "54", "55"))[:2] == [["52", "55"], ["53", "54"]]


@pytest.mark.parametrize("name", ["Town01", "Town04", "Town10HD"])
def test_the_towns_of_carla_show_green_to_one_controller_of_a_junction(name):
    carla_map = load(name)
    lights, phase_of = TrafficLights(carla_map), read_phases(carla_map.to_opendrive())
    nobodys = {light.opendrive_id for light in lights.lights} - set(phase_of)
    assert nobodys == ({"955", "956"} if name == "Town10HD" else set())
    for _ in range(120):
        lights.step(0.5)
        for light in lights.lights:
            green = [i for i in light.group if lights.light(i).state == LightState.GREEN]
            assert len({phase_of.get(i) for i in green}) <= 1


@pytest.mark.parametrize("name", ["Harbour", "Ridgeway"])
def test_the_towns_made_here_keep_opposing_approaches_together(name):
    assert read_phases(MAPS[name].read_text()) == {}


def test_signs_become_actors_with_their_limit(lights):
    kinds = [sign.type_id for sign in lights.signs]
    assert "traffic.speed_limit.30" in kinds
    assert all(
        kind in ("traffic.stop", "traffic.yield") or int(kind.rsplit(".", 1)[1]) > 0
        for kind in kinds
    )


def test_a_map_without_signals_has_no_lights():
    text = (
        '<OpenDRIVE><header revMajor="1" revMinor="4"><geoReference>+proj=tmerc +lat_0=0 '
        "+lon_0=0</geoReference></header></OpenDRIVE>"
    )
    lights = TrafficLights(carla.Map("empty", text))
    lights.step(1.0)
    assert lights.lights == ()
    assert lights.light_for(Vector3(), 0.0, CAR) is None
