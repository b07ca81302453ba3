"""The agent that sees a path: observation in, bounded control and honest records out."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.caril import CarilAgent
from agent.loading import load_agent
from agent.path.agent import PathAgent
from agent.path.navigation import NavigationSettings, Navigator
from agent.path.opinions import VisionAlone
from agent.path.pursuit import look_ahead_m, pursue
from agent.vehicle_model import steer_from_curvature
from bicameral.cli.driving_agents import collecting_agent
from bicameral.errors import ConfigError, DataError, UserError
from bicameral.protocols import DrivingAgent
from bicameral.types import AGENT_CAMERA, Observation, Pose, Route
from sim.evaluation.agents import make_agent
from tests.path_network import DISTANCES_M, peaked_logits, replayed_path_model, write_path_network

pytestmark = pytest.mark.unit

#: An arc to the right with a radius of 50 m: y = d^2 / 100.
ARC_M = np.array(DISTANCES_M) ** 2 / 100.0


def observe(picture: NDArray[np.uint8] | None, x_m: float = 0.0, speed_mps: float = 5.0):
    return Observation(
        frame=0, time_s=0.0, image=picture, pose=Pose(x_m=x_m, y_m=0.0), speed_mps=speed_mps
    )


@pytest.mark.parametrize(("speed_mps", "ahead_m"), [(0.0, 4.0), (10.0, 6.0), (60.0, 15.0)])
def test_pursuit_looks_further_ahead_at_speed(speed_mps: float, ahead_m: float) -> None:
    assert look_ahead_m(speed_mps) == ahead_m
    offset_m = float(np.interp(ahead_m, DISTANCES_M, ARC_M))
    expected = steer_from_curvature(2.0 * offset_m / ahead_m**2, speed_mps)
    assert pursue(np.array(DISTANCES_M), ARC_M, speed_mps) == expected > 0.0


def test_a_path_that_is_none_gives_no_steering_rather_than_full_lock() -> None:
    for strange in (math.nan, math.inf, -math.inf):
        assert math.isnan(pursue(np.array(DISTANCES_M), np.full(5, strange), 5.0))


def test_network_a_steers_along_its_path(route: Route, picture: NDArray[np.uint8]) -> None:
    model, session = replayed_path_model()
    session.offsets = ARC_M
    agent = PathAgent((model, None), VisionAlone())
    agent.begin(route, seed=0)
    for x_m in np.arange(0.0, 61.0, 6.0):
        decision = agent.act(observe(picture, x_m=float(x_m), speed_mps=6.5))
    assert isinstance(agent, DrivingAgent)
    assert (agent.name, agent.correction, agent.camera) == ("path-path", "none", AGENT_CAMERA)
    assert decision.control.steer == decision.steer_raw
    assert decision.control.steer == pytest.approx(pursue(np.array(DISTANCES_M), ARC_M, 6.5))
    assert session.calls[-1]["command"].tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert session.calls[-1]["speed_mps"].tolist() == [[6.5]]
    assert decision.diagnostics["offset_10m"] == pytest.approx(1.0)
    assert decision.diagnostics["followed_10m"] == pytest.approx(1.0)
    assert decision.diagnostics["asked_b"] == decision.diagnostics["output_errors"] == 0.0


def test_confidence_is_the_chance_that_the_path_is_right_within_half_a_metre(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_path_model()
    agent = PathAgent((model, None), VisionAlone())
    agent.begin(route, seed=0)
    confidences = []
    for probability in (0.99, 0.8, 0.3):
        session.logits = peaked_logits(6, probability)
        decision = agent.act(observe(picture))
        spread_m = decision.diagnostics["spread_10m"]
        expected = math.erf(0.5 / (math.sqrt(2.0) * spread_m))
        assert decision.confidence == pytest.approx(expected)
        confidences.append(decision.confidence)
    assert confidences == sorted(confidences, reverse=True)


def test_wild_answers_repeat_the_last_steering_and_are_counted(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_path_model()
    agent = PathAgent((model, None), VisionAlone())
    agent.begin(route, seed=0)
    steers, errors = [], []
    for offset in (0.5, math.nan, math.inf, -0.5):
        session.offsets = np.full(5, offset)
        decision = agent.act(observe(picture))
        steers.append(decision.control.steer)
        errors.append(decision.diagnostics["output_errors"])
    assert steers[0] == steers[1] == steers[2] == -steers[3] > 0.0
    assert errors == [0.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(("settings", "told"), [({}, True), ({"intent": False}, False)])
def test_the_lane_ahead_reaches_the_network_unless_it_is_kept_from_it(
    settings: dict[str, bool], told: bool, route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = replayed_path_model()
    exact = NavigationSettings(sigma_m=0.0, heading_deg=0.0, **settings)
    agent = PathAgent((model, None), VisionAlone(), navigator=Navigator(exact))
    agent.begin(route, seed=0)
    agent.act(observe(picture))
    expected = [1.25, 0.0, 2.0, 0.0, 1.0] if told else [0.0] * 5
    assert session.calls[0]["intent"][0] == pytest.approx(expected)


def test_a_delayed_control_arrives_n_ticks_later(route: Route, picture: NDArray[np.uint8]) -> None:
    model, session = replayed_path_model()
    agent = PathAgent((model, None), VisionAlone(), delay_ticks=2)
    agent.begin(route, seed=0)
    session.offsets = ARC_M
    steers = [agent.act(observe(picture)).control.steer for _ in range(3)]
    assert steers[:2] == [0.0, 0.0]
    assert steers[2] > 0.0


def test_what_cannot_work_is_refused(route: Route, tmp_path: Path) -> None:
    model, _ = replayed_path_model()
    agent = PathAgent((model, None), VisionAlone())
    with pytest.raises(RuntimeError, match="before begin"):
        agent.act(observe(None))
    agent.begin(route, seed=0)
    with pytest.raises(DataError, match="no picture"):
        agent.act(observe(None))
    camera = asdict(model.agent.camera) | {"width": 640}
    other, _ = replayed_path_model("other", camera=camera)
    with pytest.raises(ConfigError, match="different cameras"):
        PathAgent((model, other), VisionAlone())
    other, _ = replayed_path_model("other", distances_m=[4.0, 6.0, 10.0, 15.0, 30.0])
    with pytest.raises(ConfigError, match="different distances"):
        PathAgent((model, other), VisionAlone())
    network = write_path_network(tmp_path, "path")
    with pytest.raises(UserError, match="unknown correction 'guess'"):
        load_agent(network, "guess")
    with pytest.raises(ConfigError, match=r"settings of the path agent: .*sigma"):
        load_agent(network, navigation={"sigma": 1.0})
    with pytest.raises(UserError, match="unknown setting of a path agent 'navigatoin'"):
        load_agent(network, navigatoin={"sigma_m": 1.0})


def test_the_sidecar_decides_which_agent_is_loaded(tmp_path: Path) -> None:
    network = write_path_network(tmp_path, "bend")
    agent = load_agent(network, navigation={"sigma_m": 2.0})
    assert isinstance(agent, PathAgent)
    agent.close()
    assert isinstance(load_agent("caril_a"), CarilAgent)


def test_a_path_network_drives_a_round_of_collecting(
    tmp_path: Path, route: Route, picture: NDArray[np.uint8]
) -> None:
    driver = collecting_agent(str(write_path_network(tmp_path, "bend").with_name("bend.onnx")))
    assert driver.label == "bend"
    agent = make_agent(driver)
    agent.begin(route, seed=0)
    assert agent.act(observe(picture)).control.throttle > 0.0
    agent.close()
