"""The agent: observation in, bounded control out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.caril import CarilAgent
from agent.correction.none import NoCorrection
from agent.loading import load_agent
from bicameral.errors import ConfigError, DataError, UserError
from bicameral.protocols import DrivingAgent
from bicameral.types import AGENT_CAMERA, Observation, Pose, Route

pytestmark = pytest.mark.unit

MakeModel = Callable[..., Any]


def _observe(
    picture: NDArray[np.uint8] | None, frame: int = 0, x_m: float = 0.0, speed_mps: float = 5.0
) -> Observation:
    return Observation(
        frame=frame,
        time_s=frame * 0.05,
        image=picture,
        pose=Pose(x_m=x_m, y_m=0.0),
        speed_mps=speed_mps,
    )


def test_it_is_a_driving_agent_with_the_camera_of_its_training_data(
    make_model: MakeModel,
) -> None:
    agent = CarilAgent((make_model(0.0)[0], None), NoCorrection())
    assert isinstance(agent, DrivingAgent)
    assert agent.camera == AGENT_CAMERA
    assert not agent.privileged
    assert (agent.name, agent.correction, agent.trained_on) == ("caril-replay", "none", "pocket")


def test_the_network_steers_and_the_route_sets_the_speed(
    make_model: MakeModel, route: Route, picture: NDArray[np.uint8]
) -> None:
    agent = CarilAgent((make_model(0.125, probability=0.95)[0], None), NoCorrection())
    agent.begin(route, seed=0)
    slow = agent.act(_observe(picture, speed_mps=1.0))
    assert slow.control.steer == slow.steer_raw == 0.125
    assert slow.control.throttle > 0.0 == slow.control.brake
    assert slow.confidence == pytest.approx(0.95, abs=1e-6)
    assert slow.entropy is not None
    assert 0.0 < slow.entropy < 0.5
    assert slow.inference_s > 0.0
    agent.begin(route, seed=0)
    assert agent.act(_observe(picture, speed_mps=14.0)).control.brake > 0.0


def test_command_and_speed_reach_the_network(
    make_model: MakeModel, route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = make_model(0.0)
    agent = CarilAgent((model, None), NoCorrection())
    agent.begin(route, seed=0)
    for x_m in np.arange(0.0, 60.0, 4.0):
        agent.act(_observe(picture, x_m=float(x_m), speed_mps=6.5))
    assert session.calls[0]["command"].tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert session.calls[-1]["command"].tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert session.calls[0]["speed_mps"].tolist() == [[6.5]]


def test_wild_answers_are_bounded_and_counted(
    make_model: MakeModel, route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = make_model(0.25)
    agent = CarilAgent((model, None), NoCorrection())
    agent.begin(route, seed=0)
    steers, errors = [], []
    for steer in (0.25, float("nan"), 3.0, float("-inf"), -0.5):
        session.steer = steer
        decision = agent.act(_observe(picture))
        steers.append(decision.control.steer)
        errors.append(decision.diagnostics["output_errors"])
    assert steers == [0.25, 0.25, 1.0, 1.0, -0.5]
    assert errors == [0.0, 1.0, 2.0, 3.0, 3.0]


def test_a_delayed_control_arrives_n_ticks_later(
    make_model: MakeModel, route: Route, picture: NDArray[np.uint8]
) -> None:
    model, session = make_model(0.0)
    agent = CarilAgent((model, None), NoCorrection(), delay_ticks=2)
    agent.begin(route, seed=0)
    steers = []
    for step in range(5):
        session.steer = 0.125 * (step + 1)
        steers.append(agent.act(_observe(picture, frame=step)).control.steer)
    assert steers == [0.0, 0.0, 0.125, 0.25, 0.375]


def test_an_episode_does_not_remember_the_last(
    make_model: MakeModel, route: Route, picture: NDArray[np.uint8]
) -> None:
    agent = CarilAgent((make_model(0.1)[0], None), NoCorrection())

    def drive() -> list[Any]:
        agent.begin(route, seed=3)
        return [agent.act(_observe(picture, x_m=float(x))).control for x in range(5)]

    assert drive() == drive()


def test_what_cannot_work_is_refused(make_model: MakeModel, route: Route) -> None:
    model, _ = make_model(0.0)
    agent = CarilAgent((model, None), NoCorrection())
    with pytest.raises(RuntimeError, match="before begin"):
        agent.act(_observe(None))
    agent.begin(route, seed=0)
    with pytest.raises(DataError, match="no picture"):
        agent.act(_observe(None))
    with pytest.raises(ConfigError, match="delay_ticks"):
        CarilAgent((model, None), NoCorrection(), delay_ticks=-1)
    camera = asdict(model.agent.camera) | {"width": 640}
    other, _ = make_model(0.0, camera=camera)
    with pytest.raises(ConfigError, match="different cameras"):
        CarilAgent((model, other), NoCorrection())


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.bicameral\.json"):
        load_agent(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match="unknown shipped model 'no-such-model'"):
        load_agent("no-such-model")
    with pytest.raises(ConfigError, match="'caril_a' is an agent that steers itself; settings"):
        load_agent("caril_a", fusion={"factor": 2.0})
