"""A network that sets the pace of an agent: what its answers become, and what the vehicle does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.loading import load_agent
from agent.pace import PaceKeeper, PaceSettings
from agent.path.agent import PathAgent
from agent.path.opinions import VisionAlone
from bicameral.errors import ConfigError, DataError
from bicameral.types import LightState, Observation, Pose, RoadOption, Route
from edge.pace_model import PaceModel
from tests.pace_network import replayed_pace_model
from tests.path_network import path_sidecar, replayed_path_model

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("probabilities", "median_mps", "careful_mps"),
    [
        ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 11.0, 10.5),
        ([0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.4], 0.0, 0.0),
        # It may be red: whoever is careful stops, the other one slows down.
        ([0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.7], 10.57, 0.0),
        ([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 5.0, 4.5),
    ],
)
def test_a_lower_quantile_drives_more_carefully(
    probabilities: list[float], median_mps: float, careful_mps: float
) -> None:
    model, session = replayed_pace_model()
    session.probabilities, session.speed = probabilities, [10.57]
    picture = np.zeros((64, 160, 3), np.uint8)
    answer = model.predict(picture, picture, 5.0, RoadOption.LEFT)
    assert answer.probabilities == pytest.approx(probabilities, abs=1e-6)
    assert model.believed_speed_mps(answer, 0.5) == pytest.approx(median_mps, abs=0.02)
    assert model.believed_speed_mps(answer, 0.25) == pytest.approx(careful_mps, abs=0.02)
    assert float(answer.lead_distance_m) == pytest.approx(10.0)
    assert float(answer.lead_speed_mps) == pytest.approx(6.0)
    assert float(answer.stop_line_m) == pytest.approx(20.0)


def observe(picture: NDArray[np.uint8], speed_mps: float) -> Observation:
    return Observation(
        frame=0,
        time_s=0.0,
        image=picture,
        pose=Pose(x_m=0.0, y_m=0.0),
        speed_mps=speed_mps,
        pace_image=picture,
    )


def test_an_agent_brakes_for_what_its_pace_network_sees(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_pace_model()
    agent = PathAgent(
        (replayed_path_model()[0], None), VisionAlone(), pace=PaceKeeper(model, PaceSettings())
    )
    agent.begin(route, seed=0)
    assert agent.act(observe(picture, 5.0)).control.brake == 0.0
    session.probabilities = [0.9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
    decision = agent.act(observe(picture, 5.0))
    assert decision.control.brake > 0.2
    said = decision.diagnostics
    assert (said["allowed_speed_mps"], said["light"]) == (0.0, 1.0)
    assert said["pace_stop"] == pytest.approx(0.9)
    assert "offset_10m" in said
    assert agent.pace_camera == model.agent.camera
    with pytest.raises(DataError, match="no picture for the pace"):
        agent.act(replace(observe(picture, 5.0), pace_image=None))
    # What is no number is no leave to drive.
    session.probabilities, session.speed = [0.0] * 6 + [1.0], [math.nan]
    assert agent.act(observe(picture, 5.0)).diagnostics["allowed_speed_mps"] == 0.0


def test_a_sure_stop_is_braked_for_evenly_down_to_standing(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_pace_model()
    agent = PathAgent(
        (replayed_path_model()[0], None), VisionAlone(), pace=PaceKeeper(model, PaceSettings())
    )
    agent.begin(route, seed=0)

    def brake(stop: float, speed_mps: float) -> float:
        session.probabilities = [stop, *[0.0] * 5, 1.0 - stop]
        control = agent.act(observe(picture, speed_mps)).control
        assert control.brake == 0.0 or control.throttle == 0.0
        return control.brake

    assert 0.1 < brake(0.6, 2.5) < 0.4
    assert brake(0.95, 2.5) == pytest.approx(0.5)
    # What is only held is not, before it creeps.
    assert 0.1 < brake(0.0, 2.5) < 0.4


def test_whoever_is_to_stop_and_creeps_stands_before_its_cause_is_out_of_the_picture(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_pace_model()
    session.light = None
    keeper = PaceKeeper(model, PaceSettings(creep_mps=2.0, hold_s=0.1))
    agent = PathAgent((replayed_path_model()[0], None), VisionAlone(), pace=keeper)
    agent.begin(route, seed=0)

    def brake(stop: float, speed_mps: float) -> float:
        session.probabilities = [stop, *[0.0] * 5, 1.0 - stop]
        return agent.act(observe(picture, speed_mps)).control.brake

    assert brake(0.6, 1.9) == pytest.approx(0.5)
    assert brake(0.6, 0.3) == pytest.approx(0.5)
    assert [brake(0.0, 0.3) for _ in range(3)] == pytest.approx([0.5, 0.5, 0.0])


@pytest.mark.parametrize("light", [LightState.RED, LightState.YELLOW])
def test_whoever_creeps_before_a_light_that_stops_stands(light: LightState) -> None:
    model, session = replayed_pace_model()
    session.light = light
    session.probabilities, session.speed = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.2]
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(creep_mps=2.0))
    assert keeper.limit_mps(picture, 1.0, RoadOption.STRAIGHT) == 0.0
    session.light = LightState.GREEN
    assert keeper.limit_mps(picture, 0.0, RoadOption.STRAIGHT) == pytest.approx(1.25)


@pytest.mark.parametrize("light", [LightState.RED, LightState.YELLOW])
def test_whoever_can_stop_before_the_line_stands_whatever_the_speed_says(light: LightState) -> None:
    model, session = replayed_pace_model()
    session.light = light
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(line_m=12.0, hold_s=0.0))

    def drive(command: RoadOption, ticks: int, speed_mps: float = 8.0) -> list[bool]:
        return [keeper.limit_mps(picture, speed_mps, command) == 0.0 for _ in range(ticks)]

    # The drive begins behind the beginning of a command: nobody knows how far.
    assert not any(drive(RoadOption.LEFT, 5))
    assert not any(drive(RoadOption.LANE_FOLLOW, 5))
    # At 8 m/s it takes 10.7 m to stop, at 5 m/s 4.2 m; a tick is 0.4 m, or 0.25 m.
    assert drive(RoadOption.LEFT, 8) == [True] * 4 + [False] * 4
    assert drive(RoadOption.RIGHT, 40, 5.0) == [True] * 32 + [False] * 8
    # The next junction follows at once.
    assert drive(RoadOption.STRAIGHT, 1) == [True]
    keeper.begin()
    assert not any(drive(RoadOption.RIGHT, 5))


def test_beyond_the_line_no_light_stops_who_creeps() -> None:
    model, session = replayed_pace_model()
    session.probabilities, session.speed = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.2]
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(line_m=12.0, hold_s=0.0))
    keeper.limit_mps(picture, 0.0, RoadOption.LANE_FOLLOW)
    on_the_way = [keeper.limit_mps(picture, 1.0, RoadOption.LEFT) for _ in range(250)]
    assert on_the_way[:240] == [0.0] * 240
    assert on_the_way[-1] == pytest.approx(1.25)
    # On the road behind the junction the next light counts.
    assert keeper.limit_mps(picture, 1.0, RoadOption.LANE_FOLLOW) == 0.0


def test_a_sure_stop_is_held_for_a_while_unless_the_light_is_green() -> None:
    model, session = replayed_pace_model()
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(sure_stop=0.9, hold_s=0.2))

    def answer(stop: float, light: LightState | None, ticks: int = 1) -> list[bool]:
        session.light = light
        session.probabilities = [stop, *[0.0] * 5, 1.0 - stop]
        limits = [keeper.limit_mps(picture, 3.0, RoadOption.RIGHT) for _ in range(ticks)]
        return [limit_mps == 0.0 for limit_mps in limits]

    # A walker steps out of the picture, not out of the way.
    assert answer(0.95, None, 3) == [True] * 3
    assert answer(0.0, None, 6) == [True] * 4 + [False] * 2
    # What it was not sure of is not held.
    assert answer(0.8, None) == [True]
    assert answer(0.0, None) == [False]
    assert answer(0.95, None) == [True]
    assert answer(0.0, LightState.GREEN) == [False]
    assert answer(0.0, None) == [False]
    answer(0.95, None)
    keeper.begin()
    assert answer(0.0, None) == [False]


def test_a_sure_stop_is_not_held_where_it_is_too_late_to_stop_before_the_line() -> None:
    model, session = replayed_pace_model()
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(line_m=12.0, sure_stop=0.9, hold_s=0.2))

    def answer(stop: float, light: LightState | None, speed_mps: float) -> float:
        session.light = light
        session.probabilities = [stop, *[0.0] * 5, 1.0 - stop]
        return keeper.limit_mps(picture, speed_mps, RoadOption.LEFT)

    session.light = None
    keeper.limit_mps(picture, 10.0, RoadOption.LANE_FOLLOW)
    assert answer(0.95, LightState.YELLOW, 10.0) == 0.0
    assert answer(0.0, None, 10.0) > 0.0
    # Beyond the line the light has no say.
    for _ in range(25):
        answer(0.0, None, 10.0)
    assert answer(0.95, LightState.YELLOW, 5.0) == 0.0
    assert answer(0.0, None, 5.0) == 0.0


def test_a_light_that_stops_before_the_line_is_held_while_it_cannot_be_seen() -> None:
    model, session = replayed_pace_model()
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(line_m=12.0, hold_s=0.1))

    def look(light: LightState | None, command: RoadOption) -> bool:
        session.light = light
        return keeper.limit_mps(picture, 2.0, command) == 0.0

    assert not look(LightState.RED, RoadOption.LANE_FOLLOW)
    assert not look(None, RoadOption.LANE_FOLLOW)
    assert look(LightState.RED, RoadOption.LEFT)
    assert look(None, RoadOption.LEFT)
    assert not look(LightState.GREEN, RoadOption.LEFT)
    assert not look(None, RoadOption.LEFT)


def test_a_light_that_stays_red_for_longer_than_lights_do_is_somebody_elses() -> None:
    model, session = replayed_pace_model()
    session.light = LightState.RED
    picture = np.zeros((160, 320, 3), np.uint8)
    keeper = PaceKeeper(model, PaceSettings(hold_s=0.0, patience_s=0.5))

    def stands(command: RoadOption, ticks: int, speed_mps: float = 0.0) -> list[bool]:
        return [keeper.limit_mps(picture, speed_mps, command) == 0.0 for _ in range(ticks)]

    stands(RoadOption.LANE_FOLLOW, 1)
    # In a queue that moves on the wait begins anew.
    assert all(stands(RoadOption.LEFT, 10))
    assert all(stands(RoadOption.LEFT, 1, speed_mps=1.0))
    # So it does where it was green meanwhile, and there was something else to wait for.
    assert all(stands(RoadOption.LEFT, 9))
    session.light = LightState.GREEN
    stands(RoadOption.LEFT, 1)
    session.light = LightState.RED
    assert stands(RoadOption.LEFT, 12) == [True] * 10 + [False] * 2
    assert not any(stands(RoadOption.LEFT, 5, speed_mps=2.0))
    # The next junction has a light of its own.
    assert all(stands(RoadOption.STRAIGHT, 5))
    # Of what the network itself wants to stop for it stays sure.
    stands(RoadOption.STRAIGHT, 10)
    session.probabilities = [0.95, *[0.0] * 5, 0.05]
    assert all(stands(RoadOption.STRAIGHT, 5))


def test_the_network_sees_how_others_move_by_an_earlier_picture_of_the_episode() -> None:
    model, session = replayed_pace_model(earlier_ticks=2)
    keeper = PaceKeeper(model, PaceSettings())
    for episode in range(2):
        keeper.begin()
        shown = [np.full((160, 320, 3), 10 * tick + episode, np.uint8) for tick in range(4)]
        session.calls.clear()
        for picture in shown:
            keeper.limit_mps(picture, 5.0, RoadOption.STRAIGHT)
        grey = [
            [round((float(call[name].mean()) * 0.25 + 0.45) * 255) for call in session.calls]
            for name in ("image", "earlier")
        ]
        now = [10 * tick + episode for tick in range(4)]
        assert grey == [now, [now[0], now[1], now[0], now[1]]]


def test_settings_and_models_that_cannot_set_a_pace_are_refused() -> None:
    for quantile in (0.0, 0.6, math.nan):
        with pytest.raises(ConfigError, match="quantile of the pace"):
            PaceSettings(quantile=quantile)
    _, session = replayed_path_model()
    with pytest.raises(DataError, match=r"an agent that sees the path, expected a network that"):
        PaceModel(path_sidecar(), session)
    with pytest.raises(ConfigError, match="navigation, fusion and pace are for"):
        load_agent("caril_a", pace={"model": "path_a"})
    with pytest.raises(DataError, match="expected a network that sets the pace"):
        load_agent("path_a", pace={"model": "path_b"})


def test_where_it_is_late_for_a_soft_brake_it_brakes_fully(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_pace_model()
    session.light = None
    keeper = PaceKeeper(model, PaceSettings(hold_s=0.1))
    agent = PathAgent((replayed_path_model()[0], None), VisionAlone(), pace=keeper)
    agent.begin(route, seed=0)

    def brakes(stop: float, ticks: int, speed_mps: float = 6.0) -> list[float]:
        session.probabilities = [stop, *[0.0] * 5, 1.0 - stop]
        controls = [agent.act(observe(picture, speed_mps)).control for _ in range(ticks)]
        assert all(control.brake == 0.0 or control.throttle == 0.0 for control in controls)
        return [control.brake for control in controls]

    # One answer is not believed.
    soft, full, *_ = brakes(0.6, 3)
    assert (soft < 0.6, full) == (True, 1.0)
    # It is held when the network loses sight of the cause, but only softly.
    held, *_, free = brakes(0.0, 4)
    assert (0.0 < held < 0.6, free) == (True, 0.0)
    # At walking pace a soft brake is soon enough, and so it is before a light.
    assert max(brakes(0.6, 3, speed_mps=1.0)) == pytest.approx(0.5)
    session.light = LightState.RED
    assert max(brakes(0.6, 3)) < 0.6
