"""A plan names every episode before the first starts, and pairs them by seed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicameral.errors import ConfigError, UserError
from bicameral.progress import RoutePosition
from bicameral.types import Route
from sim.client.traffic import TrafficDensity
from sim.client.weather import WEATHERS, Weather, weather_by_name
from sim.evaluation.agents import AgentSpec, make_agent
from sim.evaluation.limits import STANDARD_LIMITS, Referee, Status
from sim.evaluation.perturbation import (
    PERTURBED,
    UNPERTURBED,
    draw_disturbance,
    start_pose,
    steering_noise,
)
from sim.evaluation.plan import EvaluationPlan, plan_differences
from sim.routes.subset import pick_routes
from sim.routes.weathers import RouteWeather


def route(name, town="Harbour"):
    s = np.arange(101.0)
    zero = np.zeros(101)
    return Route(
        name=name,
        town=town,
        kind="straight",
        xyz_m=np.column_stack([s, zero, 0.1 * s]),
        yaw_rad=zero,
        s_m=s,
        command=np.full(101, 4, np.int8),
        in_junction=np.zeros(101, bool),
        lane_width_m=zero + 3.5,
        speed_limit_mps=zero + 10,
        target_speed_mps=zero + 10,
    )


def agent(correction="none", **changes):
    return AgentSpec(name="caril", correction=correction, target="m:f", **changes)


PLAN = EvaluationPlan(
    routes=(route("a", "Ridgeway"), route("b", "Harbour"), route("c", "Ridgeway")),
    agents=(agent(), agent("paper")),
    weathers=("clear", "night"),
    repetitions=3,
    reference=AgentSpec(name="expert", correction="none", target="agent.expert:ExpertAgent"),
)


def test_every_combination_is_driven_once_and_each_route_has_a_reference():
    specs = PLAN.episodes()
    assert len(specs) == 3 * 2 * 2 * 3 + 3
    assert len({spec.episode_id for spec in specs}) == len(specs)
    assert [spec.route.name for spec in specs if spec.role == "reference"] == ["a", "c", "b"]


def test_towns_are_loaded_one_after_the_other():
    towns = [spec.route.town for spec in PLAN.episodes()]
    assert towns == sorted(towns, key=("Ridgeway", "Harbour").index)


def test_the_seed_depends_on_route_and_repetition_only():
    seeds = {}
    for spec in PLAN.episodes():
        if spec.role == "evaluation":
            seeds.setdefault((spec.route.name, spec.repetition), set()).add(spec.seed)
    assert all(len(group) == 1 for group in seeds.values())
    assert len(set.union(*seeds.values())) == 9


def test_correction_modes_meet_the_same_disturbance():
    clear, paper = (
        draw_disturbance(spec.route, weather_by_name(spec.weather), spec.perturbation, spec.seed)
        for spec in PLAN.episodes()[1:3]
    )
    assert clear == paper


def test_the_reference_is_not_disturbed():
    drawn = draw_disturbance(route("a"), WEATHERS["clear"], UNPERTURBED, 5)
    assert drawn.start == start_pose(route("a"))
    assert drawn.weather == WEATHERS["clear"]
    noise = steering_noise(UNPERTURBED, drawn.noise_seed)
    assert [next(noise) for _ in range(5)] == [0.0] * 5


def test_the_start_follows_the_slope_of_the_road():
    assert start_pose(route("a")).pitch_rad == pytest.approx(np.arctan(0.1))


def test_steering_noise_has_the_stated_spread_and_is_repeatable():
    first, second = steering_noise(PERTURBED, 7), steering_noise(PERTURBED, 7)
    values = np.array([next(first) for _ in range(20_000)])
    assert values.std() == pytest.approx(PERTURBED.steer, rel=0.1)
    assert values[:100].tolist() == [next(second) for _ in range(100)]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_no_disturbance_turns_one_weather_into_another(seed):
    for name, preset in WEATHERS.items():
        drawn = draw_disturbance(route("a"), preset, PERTURBED, seed).weather
        assert (drawn.sun_altitude_angle <= 0) == (name == "night")
        assert abs(drawn.fog_density - preset.fog_density) <= 0.1 * preset.fog_density + 1e-9


POSITIONS = dict(zip("0123", "abcd", strict=True))


@pytest.mark.parametrize(
    ("subset", "expected"),
    [("", "abcd"), ("0", "a"), ("1-2", "bc"), ("3,0-1", "abd"), ("0-3", "abcd"), ("1,1", "b")],
)
def test_routes_of_a_suite_are_picked_by_position(subset, expected):
    assert "".join(pick_routes(POSITIONS, subset)) == expected


@pytest.mark.parametrize("subset", ["4", "2-1", "x", "0-", "-1", "0,,1", "0-9"])
def test_a_subset_that_names_no_route_says_what_exists(subset):
    with pytest.raises(ConfigError, match=r"0-3|1-2"):
        pick_routes(POSITIONS, subset)


def test_a_plan_refuses_names_that_clash():
    with pytest.raises(ConfigError, match="unique"):
        replace(PLAN, agents=(agent(), agent()))
    with pytest.raises(UserError, match="Did you mean 'night'"):
        replace(PLAN, weathers=("nigth",))


def test_a_changed_plan_says_what_changed():
    other = replace(PLAN, seed=1, routes=PLAN.routes[:2])
    assert plan_differences(PLAN.describe(), other.describe()) == ["routes", "seed"]
    assert plan_differences(PLAN.describe(), PLAN.describe()) == []


def test_the_reference_drives_alone_and_an_empty_town_is_planned_as_ever():
    crowd = TrafficDensity(vehicles=3, walkers=2)
    busy = replace(PLAN, traffic=crowd)
    assert {spec.traffic for spec in busy.episodes() if spec.role == "evaluation"} == {crowd}
    assert not any(spec.traffic for spec in busy.episodes() if spec.role == "reference")
    assert plan_differences(PLAN.describe(), busy.describe()) == ["traffic"]
    assert "traffic" not in PLAN.describe()
    with pytest.raises(UserError, match="0 or more"):
        TrafficDensity(vehicles=-1)


def test_an_agent_target_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"no\.such\.module"):
        make_agent(replace(agent(), target="no.such.module:Agent"))
    with pytest.raises(ConfigError, match="module:callable"):
        make_agent(replace(agent(), target="agent.expert"))
    with pytest.raises(ConfigError, match="DrivingAgent"):
        make_agent(replace(agent(), target="builtins:dict"))


def judge(positions, speed_mps=10.0):
    referee = Referee(route("a"), STANDARD_LIMITS)
    for tick, position in enumerate(positions):
        status = referee.judge(tick * 0.05, position, speed_mps)
        if status is not None:
            return status, tick
    return None, len(positions)


ON_ROUTE = RoutePosition(50.0, 0.0, 0.0)
BESIDE = RoutePosition(50.0, -5.5, 0.0)
BACKWARDS = RoutePosition(50.0, 0.0, 2.0)


@pytest.mark.parametrize("off", [BESIDE, BACKWARDS])
def test_off_the_route_for_longer_than_a_second_is_deviated(off):
    assert judge([ON_ROUTE] * 3 + [off] * 30) == (Status.DEVIATED, 3 + 21)
    assert judge(([off] * 20 + [ON_ROUTE]) * 3) == (None, 63)


def test_standing_for_longer_than_half_a_minute_is_blocked():
    assert judge([ON_ROUTE] * 700, speed_mps=0.0) == (Status.BLOCKED, 601)


def test_a_crawling_agent_runs_out_of_time():
    limit_s = STANDARD_LIMITS.time_limit_s(route("a"))
    assert limit_s == pytest.approx(30.0 + 4.0 * 10.0)
    status, tick = judge([ON_ROUTE] * 3000, speed_mps=0.5)
    assert status is Status.TIMED_OUT
    assert tick == pytest.approx(limit_s / 0.05, abs=1)


def test_five_metres_before_the_end_is_the_goal_unless_the_vehicle_is_off_the_route():
    assert judge([RoutePosition(94.9, 0.0, 0.0)])[0] is None
    assert judge([RoutePosition(95.1, 0.0, 0.0)])[0] is Status.COMPLETED
    assert judge([RoutePosition(100.0, 8.0, 0.0)])[0] is None


SKY = (
    RouteWeather(percentage=0.0, weather=Weather(sun_altitude_angle=60.0)),
    RouteWeather(percentage=100.0, weather=Weather(sun_altitude_angle=10.0)),
)


def test_the_weather_of_a_routes_file_is_driven_as_it_stands_there():
    changes = {"routes": (route("a"),), "weathers": ("route", "night"), "skies": {"a": SKY}}
    plan = replace(PLAN, **changes)
    skies = {spec.weather: spec.sky for spec in plan.episodes()}
    assert skies == {"route": SKY, "night": ()}
    assert {s.condition.weather.sun_altitude_angle for s in plan.episodes() if s.sky} == {60.0}
    (told,) = plan.describe()["routes"]
    assert [one["percentage"] for one in told["weathers"]] == [0.0, 100.0]


def test_a_suite_has_no_weather_of_its_own():
    with pytest.raises(ConfigError, match="name one with --routes"):
        replace(PLAN, weathers=("route",))


def test_what_is_not_driven_stands_in_the_plan_and_only_then():
    told = replace(PLAN, dropped_scenarios={"a": ("Accident",)}, skipped_towns={"Town12": 3})
    described = told.describe()
    assert [route.get("dropped_scenarios") for route in described["routes"]].count(None) == 2
    assert described["skipped_towns"] == {"Town12": 3}
    # Or no run from before could be resumed.
    assert set(PLAN.describe()) == set(described) - {"skipped_towns"}
    assert set(PLAN.describe()["routes"][0]) == {"name", "town", "kind", "sha256"}
