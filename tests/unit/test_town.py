"""Generated towns: repeatable, drivable, and marked as real streets are."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import carla
import numpy as np
import pytest

from bicameral.errors import UserError
from bicameral.units import wrap_deg
from sim.pocket.map_store import SHIPPED_FOLDER
from sim.pocket.town.generate import generate_town
from sim.pocket.town.recipe import (
    RECIPES,
    SHIPPED_RECIPES,
    TRAINING_RECIPES,
    VARIED_RECIPES,
    TownRecipe,
    recipe_by_name,
)

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKED = [
    *(recipe.name for recipe in SHIPPED_RECIPES),
    "Valley",
    "Train03",
    "Train08",
    "Train10",
    "Varied05",  # tight corners, no edge lines, no line between the directions
]
#: Towns whose streets are not marked as those of the others.
PLAIN = ("Millbrook", "Varied")
LaneKey = tuple[int, int, int]
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@cache
def text_of(name: str) -> str:
    return generate_town(recipe_by_name(name))


@cache
def map_of(name: str) -> carla.Map:
    return carla.Map(name, text_of(name))


@cache
def waypoints_of(name: str) -> list[carla.Waypoint]:
    return map_of(name).generate_waypoints(1.0)


def key_of(waypoint: carla.Waypoint) -> LaneKey:
    return waypoint.road_id, waypoint.section_id, waypoint.lane_id


def lane_graph(waypoints: Iterable[carla.Waypoint]) -> dict[LaneKey, set[LaneKey]]:
    """Where one may drive from each lane: on, or to the next lane of the same direction."""
    graph: dict[LaneKey, set[LaneKey]] = defaultdict(set)
    for waypoint in waypoints:
        here = graph[key_of(waypoint)]
        here.update(map(key_of, waypoint.next(1.5)))  # beyond the end from every last waypoint
        if waypoint.lane_change in (carla.LaneChange.Left, carla.LaneChange.Both):
            here.add(key_of(waypoint.get_left_lane()))
        if waypoint.lane_change in (carla.LaneChange.Right, carla.LaneChange.Both):
            here.add(key_of(waypoint.get_right_lane()))
    return graph


def reached_from(start: LaneKey, graph: dict[LaneKey, set[LaneKey]]) -> set[LaneKey]:
    seen, waiting = {start}, [start]
    while waiting:
        for lane in graph[waiting.pop()] - seen:
            seen.add(lane)
            waiting.append(lane)
    return seen


def assert_every_lane_reaches_every_lane(graph: dict[LaneKey, set[LaneKey]]) -> None:
    backward: dict[LaneKey, set[LaneKey]] = defaultdict(set)
    for lane, following in graph.items():
        for other in following:
            backward[other].add(lane)
    start = min(graph)
    assert reached_from(start, graph) == set(graph)
    assert reached_from(start, backward) == set(graph)


def connecting_turns_deg(name: str) -> dict[int, list[float]]:
    """Heading changes of the connecting roads of each junction with markings left out."""
    turns: dict[int, list[float]] = defaultdict(list)
    for first, last in map_of(name).get_topology():
        if first.is_junction and not last.is_junction:
            change = last.transform.rotation.yaw - first.transform.rotation.yaw
            turns[first.junction_id].append(wrap_deg(change))
    return turns


def numbers_in(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


@pytest.mark.parametrize("recipe", SHIPPED_RECIPES, ids=lambda recipe: recipe.name)
def test_a_shipped_map_is_what_its_recipe_generates(recipe):
    shipped = (SHIPPED_FOLDER / f"{recipe.name}.xodr").read_text(encoding="utf-8")
    generated = text_of(recipe.name)
    assert NUMBER.sub("#", shipped) == NUMBER.sub("#", generated)
    # Processors with other vector units round the last of twelve digits differently.
    np.testing.assert_allclose(numbers_in(shipped), numbers_in(generated), rtol=1e-9, atol=1e-9)
    assert len(shipped) < 1_500_000


def test_equal_recipes_give_equal_bytes_in_this_and_in_another_process(tmp_path):
    recipe = recipe_by_name("Train03")
    assert generate_town(recipe) == generate_town(dataclasses.replace(recipe))
    file = tmp_path / "again.xodr"
    command = [sys.executable, "-m", "sim.pocket.town", "Train03", str(file)]
    subprocess.run(command, check=True, cwd=REPOSITORY)
    assert file.read_text(encoding="utf-8") == text_of("Train03")


def test_every_training_town_has_its_own_streets():
    recipes = (*TRAINING_RECIPES, *VARIED_RECIPES)
    lengths = {
        tuple(road.get("length") for road in ET.fromstring(text_of(recipe.name)).iter("road"))
        for recipe in recipes
    }
    assert len(lengths) == len(recipes) == 24


def test_the_evaluation_and_validation_towns_are_not_among_the_training_towns():
    recipes = (*TRAINING_RECIPES, *VARIED_RECIPES)
    training = {text_of(recipe.name) for recipe in recipes}
    seeds = {recipe.seed for recipe in recipes}
    for name in (*(recipe.name for recipe in SHIPPED_RECIPES), "Valley"):
        assert text_of(name) not in training
        assert recipe_by_name(name).seed not in seeds


@pytest.mark.parametrize("name", CHECKED)
def test_no_lane_ends_and_every_lane_can_be_reached_from_every_other(name):
    assert all(waypoint.next(1.0) for waypoint in waypoints_of(name))
    assert_every_lane_reaches_every_lane(lane_graph(waypoints_of(name)))


@pytest.mark.parametrize("seed", range(500, 508))
def test_any_seed_gives_a_drivable_town(seed):
    recipe = TownRecipe(
        name="Any", seed=seed, blocks_x=2 + seed % 3, blocks_y=2 + seed % 2, highway=seed % 4 != 0
    )
    waypoints = carla.Map("Any", generate_town(recipe)).generate_waypoints(1.0)
    assert all(waypoint.next(1.0) for waypoint in waypoints)
    assert_every_lane_reaches_every_lane(lane_graph(waypoints))


@pytest.mark.parametrize("name", CHECKED)
def test_a_step_of_one_metre_goes_about_one_metre_and_turns_little(name):
    sharpest_deg = math.degrees(1.3 / recipe_by_name(name).turn_radius_m[0])
    for waypoint in waypoints_of(name):
        here = waypoint.transform
        for following in waypoint.next(1.0):
            there = following.transform
            assert abs(here.location.distance(there.location) - 1.0) <= 0.3
            assert abs(wrap_deg(there.rotation.yaw - here.rotation.yaw)) < sharpest_deg


@pytest.mark.parametrize("name", CHECKED)
def test_every_driving_lane_is_as_wide_as_the_recipe_says(name):
    wanted_m = recipe_by_name(name).lane_width_m
    assert {round(w.lane_width, 6) for w in waypoints_of(name)} == {wanted_m}


@pytest.mark.parametrize("name", [name for name in CHECKED if not name.startswith(PLAIN)])
def test_streets_have_a_yellow_centre_white_lane_lines_and_a_solid_white_edge(name):
    marking, colour = carla.LaneMarkingType, carla.LaneMarkingColor
    for waypoint in waypoints_of(name):
        near_junction = any(
            near.is_junction for near in (*waypoint.next(7.0), *waypoint.previous(7.0))
        )
        if waypoint.is_junction or near_junction:
            continue
        left, right = waypoint.left_lane_marking, waypoint.right_lane_marking
        opposite = waypoint.get_left_lane()
        if opposite is None or opposite.lane_type != carla.LaneType.Driving:
            assert left.type == marking.Solid  # the left edge of a ramp
        elif opposite.lane_id * waypoint.lane_id < 0:
            assert left.color == colour.Yellow
            assert left.type in (marking.SolidSolid, marking.Broken)
        else:
            assert (left.type, left.color) == (marking.Broken, colour.White)
        outer = waypoint.get_right_lane().lane_type != carla.LaneType.Driving
        assert right.color == colour.White
        assert right.type == (marking.Solid if outer else marking.Broken)


@pytest.mark.parametrize("centre_line", ["broken", "solid", "double", "none"])
@pytest.mark.parametrize("edge_lines", [True, False])
def test_streets_are_marked_as_the_recipe_says(centre_line, edge_lines):
    kinds = {"broken": "Broken", "solid": "Solid", "double": "SolidSolid", "none": "NONE"}
    recipe = TownRecipe(
        name="Marked",
        seed=5,
        blocks_x=2,
        blocks_y=2,
        highway=False,
        wide_street_lanes=3,
        centre_line=centre_line,
        edge_lines=edge_lines,
    )
    seen = set()
    for waypoint in carla.Map("Marked", generate_town(recipe)).generate_waypoints(10.0):
        near = (*waypoint.next(7.0), *waypoint.previous(7.0))
        if waypoint.is_junction or any(other.is_junction for other in near):
            continue
        if waypoint.get_left_lane().lane_id * waypoint.lane_id < 0:
            seen.add(("centre", str(waypoint.left_lane_marking.type)))
        if waypoint.get_right_lane().lane_type != carla.LaneType.Driving:
            seen.add(("edge", str(waypoint.right_lane_marking.type)))
    assert seen == {("centre", kinds[centre_line]), ("edge", "Solid" if edge_lines else "NONE")}


@pytest.mark.parametrize(("sidewalk_m", "crosswalks"), [(2.5, True), (2.5, False), (0.0, True)])
def test_crosswalks_join_sidewalks_where_the_recipe_wants_them(sidewalk_m, crosswalks):
    recipe = TownRecipe(
        name="Paved", seed=5, highway=False, sidewalk_m=sidewalk_m, crosswalks=crosswalks
    )
    town = carla.Map("Paved", generate_town(recipe))
    beside = {
        str(waypoint.get_right_lane().get_right_lane().lane_type)
        for waypoint in town.generate_waypoints(10.0)
        if not waypoint.is_junction
        and waypoint.get_right_lane().lane_type == carla.LaneType.Shoulder
        and waypoint.get_right_lane().get_right_lane() is not None
    }
    assert beside == ({"Sidewalk"} if sidewalk_m else set())
    assert bool(town.get_crosswalks()) == (crosswalks and sidewalk_m > 0.0)


def test_corners_too_sharp_for_their_sidewalks_are_refused():
    with pytest.raises(UserError, match=r"'Sharp': turn_radius_m\[0\] is 5.0, expected 5.25 to"):
        TownRecipe(name="Sharp", seed=1, lane_width_m=4.0, turn_radius_m=(5.0, 6.0))


@pytest.mark.parametrize("name", CHECKED)
def test_nobody_may_change_lanes_across_the_centre_or_the_edge(name):
    for waypoint in waypoints_of(name):
        if waypoint.lane_change in (carla.LaneChange.Left, carla.LaneChange.Both):
            assert waypoint.get_left_lane().lane_id * waypoint.lane_id > 0
        if waypoint.lane_change in (carla.LaneChange.Right, carla.LaneChange.Both):
            assert waypoint.get_right_lane().lane_type == carla.LaneType.Driving


@pytest.mark.parametrize("name", CHECKED)
def test_crossings_are_bare_and_exits_and_merges_are_marked(name):
    marked = {
        int(road.get("id"))
        for road in ET.fromstring(text_of(name)).iter("road")
        if road.get("name") in ("highway gore", "ramp gore")
    }
    assert len(marked) == 6
    none = carla.LaneMarkingType.NONE
    for waypoint in waypoints_of(name):
        if not waypoint.is_junction:
            continue
        sides = waypoint.left_lane_marking.type, waypoint.right_lane_marking.type
        if waypoint.road_id in marked:
            assert sides != (none, none)
        else:
            assert sides == (none, none)


@pytest.mark.parametrize("name", ["Harbour", "Ridgeway", "Millbrook"])
def test_the_shipped_towns_hold_every_manoeuvre(name):
    turns = connecting_turns_deg(name)
    incoming = {
        int(junction.get("id")): {c.get("incomingRoad") for c in junction.iter("connection")}
        for junction in ET.fromstring(text_of(name)).iter("junction")
    }
    arms = Counter(len(roads) for roads in incoming.values())
    assert arms[3] >= 4
    assert arms[4] >= 2
    for count in (3, 4):
        found = [t for j, roads in incoming.items() if len(roads) == count for t in turns[j]]
        assert min(found) < -60.0  # left, in CARLA's frame
        assert max(found) > 60.0
        assert any(abs(turn) < 30.0 for turn in found)


@pytest.mark.parametrize(
    ("prefix", "sharpest_m"), [("Train", 8.0), ("Varied", 4.75), ("Millbrook", 4.75)]
)
def test_curve_radii_reach_from_the_sharpest_corner_to_a_wide_bend(prefix, sharpest_m):
    radii_m = set()
    for recipe in RECIPES.values():
        if not recipe.name.startswith(prefix):
            continue
        half_lane_m = recipe.lane_width_m / 2.0
        for road in ET.fromstring(text_of(recipe.name)).iter("road"):
            for arc in road.iter("arc"):
                curvature = float(arc.get("curvature"))
                in_junction = road.get("junction") != "-1"
                aside_m = math.copysign(half_lane_m, curvature) if in_junction else 0.0
                radii_m.add(1.0 / abs(curvature) + aside_m)
    assert sharpest_m <= min(radii_m) < sharpest_m + 1.0
    assert max(radii_m) > 180.0


@pytest.mark.parametrize("name", CHECKED)
def test_the_highway_is_fast_and_rises_gently(name):
    recipe = recipe_by_name(name)
    heights = [waypoint.transform.location.z for waypoint in waypoints_of(name)]
    assert max(heights) == pytest.approx(recipe.highway_rise_m, abs=0.05)
    assert min(heights) == pytest.approx(0.0, abs=1e-3)
    grades = [abs(wrap_deg(w.transform.rotation.pitch)) for w in waypoints_of(name)]
    assert max(grades) < math.degrees(math.atan(0.06))
    speeds = {
        speed.get("max")
        for road in ET.fromstring(text_of(name)).iter("road")
        if road.get("name") == "highway"
        for speed in road.iter("speed")
    }
    assert str(recipe.highway_speed_kmh) in speeds


@pytest.mark.parametrize("name", CHECKED)
def test_every_light_stands_just_before_a_junction(name):
    lights = 0
    for road in ET.fromstring(text_of(name)).iter("road"):
        for signal in road.iter("signal"):
            if signal.get("type") != "1000001":
                continue
            lights += 1
            validity = signal.find("validity")
            for lane in range(int(validity.get("fromLane")), int(validity.get("toLane")) + 1):
                here = map_of(name).get_waypoint_xodr(
                    int(road.get("id")), lane, float(signal.get("s"))
                )
                assert not here.is_junction
                assert all(following.is_junction for following in here.next(1.0))
    assert lights >= 9


@pytest.mark.parametrize("name", CHECKED)
def test_lights_are_grouped_with_their_references_and_controlled_by_their_junction(name):
    town = map_of(name)
    lights = town.get_all_landmarks_of_type("1000001")
    for light in lights:
        group = town.get_landmark_group(light)
        assert {other.id for other in group} == {light.id}
        assert len(group) >= 2  # the light and at least one connecting road that obeys it
    controlled = [
        controller.get("id")
        for junction in ET.fromstring(text_of(name)).iter("junction")
        for controller in junction.iter("controller")
    ]
    assert sorted(controlled) == sorted({light.id for light in lights})


@pytest.mark.parametrize("name", CHECKED)
def test_every_open_road_says_its_speed_limit_on_signs(name):
    root = ET.fromstring(text_of(name))
    for road in root.iter("road"):
        if road.get("junction") != "-1":
            continue
        limit = road.find("type/speed").get("max")
        signs = [s for s in road.iter("signal") if s.get("type") == "274"]
        directions = 1 if road.get("name") == "ramp" else 2
        assert [sign.get("value") for sign in signs] == [limit] * directions
        assert min(float(s.get("s")) for s in signs) >= 0.0
        assert max(float(s.get("s")) for s in signs) <= float(road.get("length"))


@pytest.mark.parametrize("name", CHECKED)
def test_crosswalks_are_read_by_carla_as_closed_rectangles(name):
    corners = map_of(name).get_crosswalks()
    assert len(corners) >= 5 * 9
    assert len(corners) % 5 == 0
    for first, last in zip(corners[::5], corners[4::5], strict=True):
        assert first.distance(last) < 1e-3


def test_a_recipe_out_of_range_is_refused_with_the_range():
    with pytest.raises(UserError, match="blocks_x is 1, expected 2 to 6"):
        TownRecipe(name="Tiny", seed=1, blocks_x=1)


def test_an_unknown_town_names_the_nearest_one():
    with pytest.raises(UserError, match="Did you mean 'Ridgeway'"):
        recipe_by_name("Ridgway")
