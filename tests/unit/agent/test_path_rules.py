"""What becomes of several paths: second opinion, the paper's rule, and fusion with the map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.correction.paper import AGREE, CLASS, JITTER, LOST
from agent.correction.second_opinion import KEPT_A, TAKEN_B, TRUST_A
from agent.loading import PathSettings, agent_of
from agent.path.fusion import FUSED, MAP_ONLY, FusionSettings
from agent.path.navigation import NavigationSettings
from agent.path.pursuit import pursue
from bicameral.errors import ConfigError
from bicameral.types import Decision, Observation, Pose, Route
from tests.path_network import DISTANCES_M, PathSession, peaked_logits, replayed_path_model

pytestmark = pytest.mark.unit

AHEAD_M = np.array(DISTANCES_M)
HEADING_RAD = np.radians(1.0)


class Pair:
    """An agent with two replayed networks that stands on a straight route."""

    def __init__(self, correction: str, *, with_b: bool = True, **settings: Any) -> None:
        first, self.a = replayed_path_model("first")
        second, self.b = replayed_path_model("second")
        fusion = FusionSettings(**settings.pop("fusion", {}))
        asked = second if with_b else None
        # Deviations that are believed, and errors that are none: the map's path is exact.
        navigation = NavigationSettings(sigma_m=0.0, heading_deg=0.0, believed_sigma_m=1.0)
        self.agent = agent_of(
            first, asked, correction, settings=PathSettings(navigation=navigation, fusion=fusion)
        )

    def decide(self, route: Route, picture: NDArray[np.uint8], y_m: float = 0.0) -> Decision:
        self.agent.begin(route, seed=0)
        pose = Pose(x_m=10.0, y_m=y_m)
        return self.agent.act(
            Observation(frame=0, time_s=0.0, image=picture, pose=pose, speed_mps=5.0)
        )


def spread(session: PathSession, std_m: float) -> None:
    """Let the regression head claim a standard deviation; the tests of fusion use it."""
    session.scales = np.full(5, std_m / np.sqrt(2.0))


BY_SCALE = {"variance": "regression", "factor": 1.0, "innovation_sigmas": None}


def test_a_sure_network_is_not_doubted(route: Route, picture: NDArray[np.uint8]) -> None:
    pair = Pair("second_opinion")
    pair.a.offsets = np.full(5, 0.5)
    decision = pair.decide(route, picture)
    assert (decision.branch, decision.diagnostics["asked_b"]) == (TRUST_A, 0.0)
    assert pair.b.calls == []
    assert decision.control.steer == decision.steer_raw == pursue(AHEAD_M, np.full(5, 0.5), 5.0)


@pytest.mark.parametrize(
    ("b_is_sure", "branch", "offset_m"), [(True, TAKEN_B, -0.5), (False, KEPT_A, 0.5)]
)
def test_of_two_the_surer_leads(
    b_is_sure: bool, branch: str, offset_m: float, route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("second_opinion")
    pair.a.offsets, pair.b.offsets = np.full(5, 0.5), np.full(5, -0.5)
    pair.a.logits = peaked_logits(6, 0.2)
    pair.b.logits = peaked_logits(6, 0.99 if b_is_sure else 1 / 13)
    decision = pair.decide(route, picture)
    assert (decision.branch, decision.diagnostics["asked_b"]) == (branch, 1.0)
    assert decision.diagnostics["followed_10m"] == pytest.approx(offset_m)
    assert decision.diagnostics["offset_10m"] == pytest.approx(0.5)
    assert decision.steer_raw == pursue(AHEAD_M, np.full(5, 0.5), 5.0)


def test_a_network_whose_answer_is_no_number_is_unsure(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("second_opinion")
    pair.a.offsets, pair.b.offsets = np.full(5, np.nan), np.full(5, -0.5)
    decision = pair.decide(route, picture)
    assert decision.branch == TAKEN_B
    assert decision.control.steer < 0.0
    assert decision.diagnostics["output_errors"] == 1.0


def test_a_second_opinion_needs_a_second_network() -> None:
    with pytest.raises(ConfigError, match="needs a second network"):
        Pair("second_opinion", with_b=False)


@pytest.mark.parametrize(
    ("offset_m", "winner", "probability", "branch"),
    [(0.0, 6, 0.95, AGREE), (0.0, 10, 0.95, CLASS), (0.3, 6, 0.1, LOST), (0.3, 6, 0.7, JITTER)],
)
def test_the_papers_branches_on_the_classes_of_the_offset(
    offset_m: float,
    winner: int,
    probability: float,
    branch: str,
    route: Route,
    picture: NDArray[np.uint8],
) -> None:
    pair = Pair("paper")
    pair.a.offsets = offset_m * (AHEAD_M / 10.0) ** 2
    pair.a.logits = peaked_logits(winner, probability)
    decision = pair.decide(route, picture)
    assert decision.branch == branch
    followed_m = decision.diagnostics["followed_10m"]
    if branch == CLASS:
        assert 1.7 < followed_m < 3.0  # the mean of draws from the winning class
        # All distances follow, so the whole path is an arc.
        expected = pursue(AHEAD_M, followed_m * (AHEAD_M / 10.0) ** 2, 5.0)
        assert decision.control.steer == pytest.approx(expected)
    elif branch == JITTER:
        assert 0.0 < abs(followed_m - offset_m) < 1.5
    else:
        assert followed_m == pytest.approx(offset_m)


def test_the_papers_outermost_class_has_an_end(route: Route, picture: NDArray[np.uint8]) -> None:
    pair = Pair("paper")
    pair.a.logits = peaked_logits(12, 0.95)
    followed_m = pair.decide(route, picture).diagnostics["followed_10m"]
    assert 4.6 < followed_m < 1.25 * 4.6


def test_one_network_and_the_map_are_weighed_by_their_variances(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("fusion", with_b=False, fusion=BY_SCALE)
    pair.a.offsets = np.full(5, 0.5)
    spread(pair.a, 2.0)
    decision = pair.decide(route, picture)
    map_variance = 1.0  # the heading is known
    weight = 4.0 / (4.0 + map_variance)
    assert decision.branch == FUSED
    assert decision.diagnostics["map_weight_10m"] == pytest.approx(weight)
    assert decision.diagnostics["followed_10m"] == pytest.approx(0.5 * (1.0 - weight))
    assert decision.steer_raw == pursue(AHEAD_M, np.full(5, 0.5), 5.0)


def test_two_networks_that_differ_trust_the_map_more(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("fusion", fusion=BY_SCALE | {"factor": 4.0})
    pair.a.offsets, pair.b.offsets = np.full(5, 1.5), np.full(5, -0.5)
    spread(pair.a, 0.3)
    spread(pair.b, 0.5)
    decision = pair.decide(route, picture)
    vision = 4.0 * ((0.3**2 + 0.5**2) / 2.0 + 2.0**2 / 4.0)
    assert decision.diagnostics["asked_b"] == 1.0
    assert decision.diagnostics["map_weight_10m"] == pytest.approx(vision / (vision + 1.0))
    assert decision.diagnostics["followed_10m"] == pytest.approx(0.5 / (vision + 1.0))


@pytest.mark.parametrize("source", ["regression", "classification", "both"])
def test_either_head_may_say_how_sure_vision_is(
    source: str, route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("fusion", with_b=False, fusion=BY_SCALE | {"variance": source})
    spread(pair.a, 0.3)
    pair.a.logits = peaked_logits(6, 0.5)
    decision = pair.decide(route, picture)
    regression, classes = 0.3**2, decision.diagnostics["spread_10m"] ** 2
    both = (regression + classes) / 2.0
    expected = {"regression": regression, "classification": classes, "both": both}[source]
    assert decision.diagnostics["map_weight_10m"] == pytest.approx(expected / (expected + 1.0))


def test_vision_may_not_claim_more_than_its_distance_to_the_map_allows(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    weights = []
    for sigmas in (None, 3.0):
        pair = Pair("fusion", with_b=False, fusion=BY_SCALE | {"innovation_sigmas": sigmas})
        spread(pair.a, 0.1)
        near = pair.decide(route, picture).diagnostics["map_weight_10m"]
        pair.a.offsets = np.full(5, 5.0)
        weights.append((near, pair.decide(route, picture).diagnostics["map_weight_10m"]))
    (near, far), (near_floored, far_floored) = weights
    assert near == far == near_floored == pytest.approx(0.01 / 1.01)
    assert far_floored == pytest.approx(16.0 / 17.0)  # 5^2 - 3^2


def test_a_fusion_that_tracks_the_map_moves_it_towards_what_is_seen(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    moved = []
    for tracks_map in (False, True):
        pair = Pair("fusion", with_b=False, fusion=BY_SCALE | {"tracks_map": tracks_map})
        pair.a.offsets = np.full(5, 0.5)
        spread(pair.a, 0.1)
        pair.decide(route, picture)
        again = Observation(
            frame=1, time_s=0.05, image=picture, pose=Pose(x_m=10.0, y_m=0.0), speed_mps=5.0
        )
        moved.append(pair.agent.act(again).diagnostics["map_offset_10m"])
    assert moved[0] == 0.0
    assert 0.05 < moved[1] < 0.5


def test_a_network_that_answers_no_number_is_left_out_and_counted(
    route: Route, picture: NDArray[np.uint8]
) -> None:
    pair = Pair("fusion", fusion=BY_SCALE)
    pair.a.offsets, pair.b.offsets = np.full(5, np.nan), np.full(5, 0.5)
    spread(pair.b, 1.0)
    decision = pair.decide(route, picture)
    assert decision.diagnostics["followed_10m"] == pytest.approx(0.25)
    assert decision.diagnostics["output_errors"] == 1.0
    pair.b.offsets = np.full(5, np.inf)
    decision = pair.decide(route, picture, y_m=0.5)
    assert decision.branch == MAP_ONLY
    assert decision.diagnostics["followed_10m"] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    "settings", [{"variance": "entropy"}, {"factor": 0.0}, {"innovation_sigmas": float("nan")}]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="fusion"):
        FusionSettings(**settings)
