"""A driving agent behind its queue: tensors, single decisions, and the same drive as in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from agent.loading import load_agent
from bicameral.errors import ConfigError, DataError, UserError
from bicameral.types import AGENT_CAMERA, Observation, Pose, RoadOption, Route
from edge.driver_model import one_hot_from_commands
from edge.dual_head import DualHeadModel
from edge.preprocessing import tensor_from_canonical
from edge.shipped import shipped_model
from server.errors import RequestError
from server.serving.agent_model import AgentModel, DrivingOptions, DrivingView
from server.serving.served_model import (
    ModelVersion,
    RequestContext,
    ServedClassifier,
    ServedModel,
    ServingParts,
)

PartsMaker = Callable[..., ServingParts]

CONTEXT = RequestContext()
SHAPE = (AGENT_CAMERA.height, AGENT_CAMERA.width, 3)


@pytest.fixture
def load(make_parts: PartsMaker) -> Callable[[str], AgentModel]:
    parts = make_parts()
    return lambda name: AgentModel.load(
        shipped_model(name), ModelVersion(name=name, version="1"), parts
    )


@pytest.fixture
def views() -> np.ndarray:
    """Camera pictures: even grey with noise, from dark to bright."""
    rng = np.random.default_rng(3)
    level = np.linspace(40, 200, 12)[:, None, None, None]
    return np.clip(level + rng.normal(0, 25, (12, *SHAPE)), 0, 255).astype(np.uint8)


@pytest.fixture
def route(straight_route: Callable[..., Route]) -> Route:
    """A road that slows down, to be left behind to the left."""
    commands = np.full(101, int(RoadOption.LEFT), np.int8)
    commands[:3] = int(RoadOption.LANE_FOLLOW)
    return straight_route(command=commands, target_speed_mps=np.linspace(8.0, 4.0, 101))


def _observation(tick: int, image: np.ndarray | None) -> Observation:
    return Observation(
        frame=tick, time_s=tick / 20, image=image, pose=Pose(x_m=0.4 * tick, y_m=0.0), speed_mps=8.0
    )


def _answer(request: Any) -> Any:
    async def body() -> Any:
        return await request

    return asyncio.run(body())


def _view(image: np.ndarray, **changes: Any) -> DrivingView:
    fields = {"speed_mps": 5.0, "command": RoadOption.LANE_FOLLOW, "target_speed_mps": 8.0}
    return DrivingView(image=image, **(fields | changes))


def test_it_is_a_served_model_and_no_classifier_of_pictures(
    load: Callable[..., AgentModel],
) -> None:
    model = load("caril_a")
    assert isinstance(model, ServedModel)
    assert not isinstance(model, ServedClassifier)
    assert [spec.name for spec in model.inputs] == ["image", "speed_mps", "command"]
    assert [spec.name for spec in model.outputs] == ["steer", "logits"]
    assert len(model.labels) == 11
    assert model.camera == AGENT_CAMERA


def test_its_tensors_may_come_from_camera_pictures(
    load: Callable[..., AgentModel], views: np.ndarray
) -> None:
    model = load("caril_a")
    network = DualHeadModel.load(shipped_model("caril_a"))
    commands = np.array([4, 1], np.int8)
    rest = {
        "speed_mps": np.array([[3.0], [7.0]], np.float32),
        "command": one_hot_from_commands(commands),
    }
    tensor = tensor_from_canonical(network.prepare(views[:2]), network.image)
    encoded = [bytes(cv2.imencode(".png", view[..., ::-1])[1]) for view in views[:2]]
    from_tensors = _answer(model.infer({"image": tensor, **rest}, context=CONTEXT))
    from_pictures = _answer(model.infer({"image": encoded, **rest}, context=CONTEXT))
    for name in ("steer", "logits"):
        np.testing.assert_array_equal(from_tensors[name], from_pictures[name])
    expected = network.predict_batch(network.prepare(views[:2]), np.array([3.0, 7.0]), commands)
    np.testing.assert_array_equal(from_tensors["steer"][:, 0], expected.steer)
    np.testing.assert_array_equal(from_tensors["logits"], expected.logits)


def test_tensors_must_have_as_many_rows_as_there_are_pictures(
    load: Callable[..., AgentModel], views: np.ndarray
) -> None:
    encoded = bytes(cv2.imencode(".png", views[0])[1])
    inputs = {
        "image": [encoded] * 2,
        "speed_mps": np.zeros((3, 1), np.float32),
        "command": np.zeros((2, 4), np.float32),
    }
    with pytest.raises(RequestError, match=r"'speed_mps' .* has 3 rows, expected 2 like 'image'"):
        _answer(load("caril_a").infer(inputs, context=CONTEXT))


def test_a_picture_of_another_camera_is_refused_because_its_crop_would_show_something_else(
    load: Callable[..., AgentModel],
) -> None:
    model = load("caril_paper")
    other = np.zeros((480, 640, 3), np.uint8)
    with pytest.raises(DataError, match=r"shape \(480, 640, 3\).*expected .*\(160, 320, 3\)"):
        _answer(model.drive(_view(other), DrivingOptions(), context=CONTEXT))
    encoded = bytes(cv2.imencode(".png", other)[1])
    with pytest.raises(RequestError, match="input 'image' of model 'caril_paper': picture 0"):
        _answer(model.infer({"image": [encoded]}, context=CONTEXT))


def test_a_single_decision_is_the_networks_own(
    load: Callable[..., AgentModel], views: np.ndarray
) -> None:
    model = load("caril_a")
    network = DualHeadModel.load(shipped_model("caril_a"))
    view = _view(views[4], command=RoadOption.RIGHT)
    decision = _answer(model.drive(view, DrivingOptions(), context=CONTEXT))
    output = network.predict(network.prepare(views[4]), 5.0, RoadOption.RIGHT)
    assert decision.control.steer == output.steer
    assert decision.confidence == output.probabilities.max()
    assert decision.branch == "none"
    assert decision.control.throttle > 0, "it is slower than wanted"
    braking = _answer(
        model.drive(_view(views[4], target_speed_mps=0.0), DrivingOptions(), context=CONTEXT)
    )
    assert braking.control.brake > 0


def test_decisions_do_not_depend_on_those_before(
    load: Callable[..., AgentModel], views: np.ndarray
) -> None:
    model = load("caril_a")
    options = DrivingOptions(correction="paper", seed=5)

    async def body() -> list[Any]:
        drives = [model.drive(_view(view), options, context=CONTEXT) for view in views]
        again = [model.drive(_view(view), options, context=CONTEXT) for view in views[::-1]]
        return [
            *await asyncio.gather(*drives),
            *reversed(await asyncio.gather(*again)),
        ]

    decisions = asyncio.run(body())
    controls = [decision.control for decision in decisions]
    assert controls[: len(views)] == controls[len(views) :]
    assert len({control.steer for control in controls}) > len(views) // 2


@pytest.mark.parametrize("in_place_s", [0.0, 1.0])
@pytest.mark.parametrize("correction", ["none", "paper", "second_opinion"])
def test_an_episode_is_the_same_as_in_process(
    make_parts: PartsMaker, views: np.ndarray, route: Route, correction: str, in_place_s: float
) -> None:
    parts = make_parts(batching={"in_place_s": in_place_s})
    first, second = (
        AgentModel.load(shipped_model(name), ModelVersion(name=name, version="1"), parts)
        for name in ("caril_a", "caril_b")
    )
    options = DrivingOptions(
        correction=correction, second=second if correction == "second_opinion" else None, seed=7
    )
    local = load_agent("caril_a", correction, "caril_b", delay_ticks=2)
    local.begin(route, 7)

    async def body() -> list[Any]:
        episode = first.episode(route, options, delay_ticks=2)
        return [
            await episode.act(_observation(tick, view), context=CONTEXT)
            for tick, view in enumerate(views)
        ]

    for tick, (served, view) in enumerate(zip(asyncio.run(body()), views, strict=True)):
        expected = local.act(_observation(tick, view))
        assert served.control == expected.control
        assert (served.branch, served.confidence) == (expected.branch, expected.confidence)
        assert served.diagnostics == expected.diagnostics


def test_what_makes_no_sense_is_refused(
    load: Callable[..., AgentModel], views: np.ndarray, route: Route
) -> None:
    model = load("caril_a")
    for changes in ({"speed_mps": float("nan")}, {"target_speed_mps": float("inf")}):
        with pytest.raises(DataError, match="expected finite numbers"):
            _answer(model.drive(_view(views[0], **changes), DrivingOptions(), context=CONTEXT))
    with pytest.raises(ConfigError, match="needs a second network"):
        model.episode(route, DrivingOptions(correction="second_opinion"))
    with pytest.raises(UserError, match="unknown correction 'papers'"):
        model.episode(route, DrivingOptions(correction="papers"))
    episode = model.episode(route, DrivingOptions())
    assert episode.agent.name == "caril-caril_a"
    with pytest.raises(DataError, match="frame 3 has no picture"):
        _answer(episode.act(_observation(3, None), context=CONTEXT))
