"""Routes on a hand-made map: a crossroads with four arms of 100 m, lanes 3.5 m wide."""

import math
import re
from dataclasses import fields

import carla
import numpy as np
import pytest

from bicameral.errors import ConfigError, RouteError, UserError
from bicameral.speed_profile import target_speed_mps
from bicameral.types import RoadOption
from sim.routes.planner import COMMAND_DISTANCE_M, RoutePlanner
from sim.routes.sampling import ROUTE_KINDS, RouteRequest, sample_routes
from sim.routes.subset import pick_routes
from sim.routes.weathers import weather_along
from sim.routes.xml import plan_definition, read_routes

pytestmark = pytest.mark.unit

ARM_M = 100.0
CENTRE_M = 12.0


def _lane(lane_id, kind, width, link):
    return (
        f'<lane id="{lane_id}" type="{kind}" level="false">{link}'
        f'<width sOffset="0" a="{width}" b="0" c="0" d="0"/>'
        '<roadMark sOffset="0" type="broken" weight="standard" color="white" width="0.15" '
        'laneChange="none"/></lane>'
    )


def _arm(road, heading, junction_at_end):
    """An arm with one lane each way whose reference line runs towards the crossroads."""
    x, y = -math.cos(heading) * (ARM_M + CENTRE_M), -math.sin(heading) * (ARM_M + CENTRE_M)
    lanes = (
        f"<left>{_lane(1, 'driving', 3.5, '')}</left>"
        '<center><lane id="0" type="none" level="false"/></center>'
        f"<right>{_lane(-1, 'driving', 3.5, '')}</right>"
    )
    return (
        f'<road name="" length="{ARM_M}" id="{road}" junction="-1"><link>'
        f'<successor elementType="junction" elementId="{junction_at_end}"/></link>'
        '<type s="0" type="town"><speed max="50" unit="km/h"/></type>'
        f'<planView><geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{ARM_M}"><line/>'
        f'</geometry></planView><lanes><laneSection s="0">{lanes}</laneSection></lanes></road>'
    )


def _connection(road, entry, leave, headings):
    """A connecting road from arm to arm: straight on, or an arc of a quarter circle."""
    turn = (headings[leave] + math.pi - headings[entry] + math.pi) % (2 * math.pi) - math.pi
    heading = headings[entry]
    x, y = -math.cos(heading) * CENTRE_M, -math.sin(heading) * CENTRE_M
    if abs(turn) < 0.1:
        length, shape = 2 * CENTRE_M, "<line/>"
    else:
        length = CENTRE_M * math.pi / 2
        shape = f'<arc curvature="{math.copysign(1 / CENTRE_M, turn)}"/>'
    link = '<link><predecessor id="-1"/><successor id="1"/></link>'
    lanes = (
        '<center><lane id="0" type="none" level="false"/></center>'
        f"<right>{_lane(-1, 'driving', 3.5, link)}</right>"
    )
    return (
        f'<road name="" length="{length}" id="{road}" junction="100"><link>'
        f'<predecessor elementType="road" elementId="{entry}" contactPoint="end"/>'
        f'<successor elementType="road" elementId="{leave}" contactPoint="end"/></link>'
        f'<planView><geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{length}">{shape}'
        f'</geometry></planView><lanes><laneSection s="0">{lanes}</laneSection></lanes></road>'
    )


def _crossroads():
    headings = {1: 0.0, 2: math.pi / 2, 3: math.pi, 4: -math.pi / 2}
    roads = [_arm(road, heading, 100) for road, heading in headings.items()]
    connections = []
    number = 10
    for entry in headings:
        for leave in headings:
            if entry != leave:
                roads.append(_connection(number, entry, leave, headings))
                connections.append(
                    f'<connection id="{number}" incomingRoad="{entry}" connectingRoad="{number}" '
                    'contactPoint="start"><laneLink from="-1" to="-1"/></connection>'
                )
                number += 1
    return (
        '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="" version="1"/>'
        f'{"".join(roads)}<junction id="100" name="">{"".join(connections)}</junction></OpenDRIVE>'
    )


@pytest.fixture(scope="module")
def planner():
    return RoutePlanner(carla.Map("Cross", _crossroads()), "Cross")


def _plan(planner, goal_x, goal_y):
    # From the west, driving east on the right-hand (here: southern, positive y) lane.
    return planner.plan_through(
        [carla.Location(-80.0, 1.75, 0.0), carla.Location(goal_x, goal_y, 0.0)], name="r"
    )


@pytest.mark.parametrize(
    ("goal", "command"),
    [
        ((80.0, 1.75), RoadOption.STRAIGHT),
        ((-1.75, 80.0), RoadOption.RIGHT),
        ((1.75, -80.0), RoadOption.LEFT),
    ],
)
def test_a_junction_with_a_choice_is_announced_15_m_before_it_and_until_its_end(
    planner, goal, command
):
    route = _plan(planner, *goal)
    inside = np.flatnonzero(route.in_junction)
    announced = np.flatnonzero(route.command == command)
    assert announced[0] == pytest.approx(inside[0] - COMMAND_DISTANCE_M, abs=1.1)
    assert announced[-1] == pytest.approx(inside[-1], abs=1.1)
    assert np.all(np.diff(announced) == 1)
    others = np.delete(route.command, announced)
    assert set(others.tolist()) == {RoadOption.LANE_FOLLOW}


def test_a_route_is_sampled_every_metre_along_the_lane_centre_with_a_continuous_heading(planner):
    route = _plan(planner, -1.75, 80.0)
    assert np.allclose(np.diff(route.s_m), 1.0, atol=0.01)
    steps_m = np.hypot(*np.diff(route.xyz_m[:, :2], axis=0).T)
    assert steps_m.max() <= 1.01
    assert np.abs(np.diff(route.yaw_rad)).max() < 0.15
    assert route.yaw_rad[-1] - route.yaw_rad[0] == pytest.approx(math.pi / 2, abs=0.02)
    assert np.allclose(route.xyz_m[:20, 1], 1.75, atol=0.01)
    assert np.allclose(route.lane_width_m, 3.5)


def test_a_junction_keeps_the_limit_of_the_road_before_it(planner):
    assert np.allclose(_plan(planner, 80.0, 1.75).speed_limit_mps, 50.0 / 3.6)


def test_a_goal_that_cannot_be_reached_is_a_route_error(planner):
    with pytest.raises(RouteError, match="no way on Cross"):
        planner.plan_through(
            [carla.Location(80.0, 1.75, 0.0), carla.Location(40.0, 1.75, 0.0)], name="r"
        )


def test_a_route_through_fewer_than_two_places_is_a_route_error(planner):
    with pytest.raises(RouteError, match="1 waypoints"):
        planner.plan_through([carla.Location(0.0, 0.0, 0.0)], name="r")


def test_the_speed_profile_keeps_within_the_limit_and_the_accelerations():
    s_m = np.arange(200.0)
    yaw_rad = np.where(s_m < 100.0, 0.0, np.minimum((s_m - 100.0) / 8.0, math.pi / 2))
    speed = target_speed_mps(s_m, yaw_rad, np.full(200, 13.9))
    assert speed.max() <= 13.9
    assert speed[104] == pytest.approx(math.sqrt(2.3 * 8.0), rel=0.02)
    slope = np.diff(speed**2) / 2.0
    assert slope.min() >= -2.0 - 1e-9
    assert slope.max() <= 2.0 + 1e-9


@pytest.mark.parametrize("kind", ["left", "right", "straight"])
def test_sampled_turns_have_their_run_up_and_their_run_out(planner, kind):
    request = RouteRequest(kind=kind, count=4, seed=3, min_length_m=90.0, max_length_m=150.0)
    for route in sample_routes(planner, request):
        announced = np.flatnonzero(route.command == RoadOption[kind.upper()])
        junction = announced[route.in_junction[announced]]
        assert route.s_m[junction[0]] >= 39.0
        assert route.length_m - route.s_m[junction[-1]] >= 29.0
        assert route.command[0] == RoadOption.LANE_FOLLOW
        assert 90.0 <= route.length_m <= 151.0


def test_the_same_seed_gives_the_same_routes_and_another_seed_others(planner):
    request = RouteRequest(kind="left", count=3, seed=3, min_length_m=90.0, max_length_m=150.0)
    first, again = sample_routes(planner, request), sample_routes(planner, request)
    assert [r.xyz_m.tobytes() for r in first] == [r.xyz_m.tobytes() for r in again]
    other = RouteRequest(kind="left", count=3, seed=4, min_length_m=90.0, max_length_m=150.0)
    assert [r.xyz_m.tobytes() for r in first] != [
        r.xyz_m.tobytes() for r in sample_routes(planner, other)
    ]


def test_an_unknown_kind_is_answered_with_the_known_ones(planner):
    with pytest.raises(UserError, match="curves"):
        sample_routes(planner, RouteRequest(kind="curve", count=1, seed=0))
    assert "curves" in ROUTE_KINDS


def test_a_kind_that_the_map_does_not_hold_is_a_route_error(planner):
    with pytest.raises(RouteError, match="0 of 1 routes of kind 'highway'"):
        sample_routes(planner, RouteRequest(kind="highway", count=1, seed=0))


LEADERBOARD_ROUTE = """
<routes>
  <route id="7" town="Cross">
    <weathers><weather route_percentage="0" cloudiness="5.0"/></weathers>
    <waypoints>
      <position x="-80.0" y="1.75" z="0.0"/>
      <position x="-1.75" y="80.0" z="0.0"/>
    </waypoints>
    <scenarios><scenario name="a" type="DynamicObjectCrossing"/></scenarios>
  </route>
</routes>
"""


def test_a_leaderboards_route_is_planned_and_its_scenarios_are_known(planner, tmp_path):
    path = tmp_path / "routes.xml"
    path.write_text(LEADERBOARD_ROUTE)
    (read,) = read_routes(path)
    assert read.name == "RouteScenario_7"
    assert read.scenarios == ("DynamicObjectCrossing",)
    planned, expected = plan_definition(planner, read, "right"), _plan(planner, -1.75, 80.0)
    assert planned.length_m == pytest.approx(expected.length_m)
    assert np.array_equal(planned.command, expected.command)


def weathers_of(text, tmp_path):
    path = tmp_path / "routes.xml"
    path.write_text(re.sub("<weathers>.*</weathers>", text, LEADERBOARD_ROUTE))
    (read,) = read_routes(path)
    return read.weathers


def test_a_weather_is_the_leaderboards_base_but_for_what_the_file_says(tmp_path, caplog):
    (told,) = weathers_of(
        '<weathers><weather route_percentage="0" cloudiness="5.0" snow="1"/></weathers>', tmp_path
    )
    base = carla.WeatherParameters(sun_altitude_angle=70.0, cloudiness=5.0)
    for field in fields(told.weather):
        assert getattr(told.weather, field.name) == pytest.approx(getattr(base, field.name))
    assert "snow" in caplog.text
    (without,) = weathers_of("", tmp_path)
    assert (without.weather.sun_altitude_angle, without.weather.cloudiness) == (70.0, 50.0)


def test_the_weather_changes_linearly_along_the_route(tmp_path):
    weathers = weathers_of(
        '<weathers><weather route_percentage="80" sun_altitude_angle="-10"/>'
        '<weather route_percentage="20" sun_altitude_angle="50"/></weathers>',
        tmp_path,
    )
    sun = [weather_along(weathers, at).sun_altitude_angle for at in (0, 20, 35, 50, 80, 100)]
    assert sun == pytest.approx([50, 50, 35, 20, -10, -10])
    assert weather_along(weathers, 50).cloudiness == 50.0


MANY = {name: f"route {name}" for name in ("24211", "7", "24240", "a-b", "3")}


@pytest.mark.parametrize(
    ("subset", "picked"),
    [
        ("", "24211 7 24240 a-b 3"),
        ("7", "7"),
        ("3, 24211", "24211 3"),
        ("a-b", "a-b"),
        ("7-24240", "7 24240"),
        ("24211-7,7-24240", "24211 7 24240"),
    ],
)
def test_routes_are_picked_by_id_and_ranges_follow_the_file(subset, picked):
    assert pick_routes(MANY, subset) == [f"route {name}" for name in picked.split()]


@pytest.mark.parametrize(
    ("subset", "reason"),
    [
        ("0", "no route with the id '0'; there are 24211, 7, 24240"),
        ("7-", "no route with the id ''"),
        ("7-99", "no route with the id '99'"),
        ("24240-7", "'7' comes before '24240'; write '7-24240'"),
        ("7,,3", "no route with the id ''"),
        ("7-a-c", "no route with the id 'a-c'"),
    ],
)
def test_an_id_that_no_route_has_is_answered_with_those_there_are(subset, reason):
    with pytest.raises(ConfigError, match=reason):
        pick_routes(MANY, subset)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<routes>\n<route", "line 2"),
        ("<scenarios/>", "<scenarios>"),
        ("<routes/>", "no <route>"),
        ('<routes><route id="3"/></routes>', "route 3.*'town'"),
        ('<routes><route id="3" town="T"><waypoints/></route></routes>', "0 <position>"),
        (
            '<routes><route id="3" town="T"><waypoints><position x="a" y="0" z="0"/></waypoints>'
            "</route></routes>",
            "route 3.*x='a'",
        ),
        *(
            (
                '<routes><route id="3" town="T"><waypoints><position x="1" y="0" z="0"/>'
                f'<position x="9" y="0" z="0"/></waypoints><weathers><weather {weather}/>'
                "</weathers></route></routes>",
                f"route 3.*{message}",
            )
            for weather, message in (
                ("", "route_percentage=None"),
                ('route_percentage="101"', "route_percentage='101'"),
                ('route_percentage="0" cloudiness="much"', "cloudiness='much'"),
                ('route_percentage="0" wetness="nan"', "wetness='nan'"),
            )
        ),
    ],
)
def test_a_wrong_routes_file_is_answered_with_its_name_and_the_place(tmp_path, text, message):
    path = tmp_path / "wrong.xml"
    path.write_text(text)
    with pytest.raises(RouteError, match=f"wrong.xml.*{message}"):
        read_routes(path)


def test_a_missing_routes_file_is_a_route_error(tmp_path):
    with pytest.raises(RouteError, match=r"none\.xml"):
        read_routes(tmp_path / "none.xml")
