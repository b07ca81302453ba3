"""A driving agent: its network's tensors, single decisions, and whole episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.loading import DrivingNetwork, agent_of, network_of
from agent.network_agent import NetworkAgent
from bicameral.errors import ConfigError, DataError
from bicameral.protocols import Session
from bicameral.types import CameraSpec, Decision, Observation, Pose, RoadOption, Route
from edge.sidecar import Sidecar
from server.serving.computation import Computation, RunCost, measure_run_cost
from server.serving.graph_tensors import GraphTensorModel
from server.serving.picture_input import PictureTarget
from server.serving.served_model import ModelVersion, RequestContext, ServingParts

#: Length of the road on which single decisions are made; the speed is previewed for 0.2 s, so no
#: vehicle sees its end.
_ROAD_M = 500.0
_START = Pose(x_m=0.0, y_m=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivingOptions:
    """How an agent drives.

    Attributes:
        correction: One of the agent's corrections.
        second: Network B for a correction that may ask it; whoever uses it keeps it loaded.
        seed: Of the noise of the correction, and of the navigation system.
    """

    correction: str = "none"
    second: AgentModel | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivingView:
    """What a driver sees once.

    Attributes:
        image: (H, W, 3) uint8 RGB of the agent's camera.
        speed_mps: Forward speed.
        command: What the navigation asks for.
        target_speed_mps: The wanted speed; it decides the pedals.
    """

    image: NDArray[np.uint8]
    speed_mps: float
    command: RoadOption
    target_speed_mps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _CameraPicture:
    """The picture of an agent's camera, whole; a `bicameral.protocols.ImageFormat`."""

    height: int
    width: int
    channels: int = 3
    color: str = "RGB"
    invert: bool = False


class AgentModel(GraphTensorModel):
    """`server.serving.served_model.ServedModel` for a sidecar of kind ``agent``."""

    def __init__(
        self, served_as: ModelVersion, sidecar: Sidecar, session: Session, parts: ServingParts
    ) -> None:
        """Join a network with its queue, and warm it up; as `GraphTensorModel`."""
        super().__init__(served_as, sidecar, session, parts)
        camera = self.camera
        self._view = PictureTarget(
            image=_CameraPicture(height=camera.height, width=camera.width),
            prepare=self._whole,
        )
        self._driving: Computation[Callable[[], Decision], Decision] = Computation(
            name="drive", run=_call, cost=self._measure_driving()
        )

    def _joined(self, sidecar: Sidecar, session: Session) -> PictureTarget:
        self._network = network_of(sidecar, session)
        return PictureTarget(image=self._network.image, prepare=self._prepare)

    @property
    def camera(self) -> CameraSpec:
        """The camera whose pictures the network understands."""
        return self._network.agent.camera

    @property
    def trained_on(self) -> str:
        """Simulator of the training data."""
        return self._network.agent.trained_on

    @property
    def network(self) -> DrivingNetwork:
        """The network itself, for another agent that asks it for a second opinion."""
        return self._network

    async def read_picture(self, encoded: bytes) -> NDArray[np.uint8]:
        """Decode a picture of the agent's camera to (H, W, 3) uint8 RGB.

        Raises:
            RequestError: 415 if it cannot be decoded, or another camera made it; 413 and 429 as
                `PictureDecoder.canonical`.
        """
        (picture,) = await self._parts.decoder.canonical([encoded], self._view)
        return np.asarray(picture)

    async def drive(
        self, view: DrivingView, options: DrivingOptions, *, context: RequestContext
    ) -> Decision:
        """Decide once, as an episode's first tick on a straight road would.

        Raises:
            DataError: If the picture is not one of the agent's camera, or a number is not finite.
            ConfigError: If the options contradict each other, or the correction needs the route.
            RequestError: 429 and 503 as `MicroBatcher.submit`.
        """
        if not (math.isfinite(view.speed_mps) and math.isfinite(view.target_speed_mps)):
            raise DataError(
                f"speed {view.speed_mps} and target speed {view.target_speed_mps} m/s, expected "
                "finite numbers"
            )
        road = _straight_road(view.command, view.target_speed_mps)
        episode = self.episode(road, options)
        if options.correction == "fusion":
            raise ConfigError(
                "the correction 'fusion' needs the map's route, which a single picture does not "
                f"have; begin an episode, WS /v1/drive/{self.name}/stream"
            )
        observation = Observation(
            frame=0,
            time_s=0.0,
            image=view.image,
            pose=_START,
            speed_mps=view.speed_mps,
        )
        return await episode.act(observation, context=context)

    def episode(
        self, route: Route, options: DrivingOptions, *, delay_ticks: int = 0
    ) -> DrivingEpisode:
        """Begin to drive a route.

        Args:
            route: Where to go.
            options: How.
            delay_ticks: See `agent.network_agent.RouteDriver`.

        Raises:
            ConfigError: If the options contradict each other.
            UserError: If there is no correction of that name.
        """
        second = None if options.second is None else options.second.network
        agent = agent_of(self._network, second, options.correction, delay_ticks=delay_ticks)
        agent.begin(route, options.seed)
        return DrivingEpisode(self, agent, networks=1 if second is None else 2)

    def require_camera(self, image: NDArray[np.uint8]) -> None:
        """Refuse a picture that another camera made: its crop would show something else.

        Raises:
            DataError: If it is no (H, W, 3) uint8 picture of the camera's size.
        """
        camera = self.camera
        if image.shape != (camera.height, camera.width, 3) or image.dtype != np.uint8:
            raise DataError(
                f"the picture has shape {image.shape} and dtype {image.dtype}, expected uint8 of "
                f"shape {(camera.height, camera.width, 3)}, as the camera of {self.name!r} gives it"
            )

    async def decide(
        self,
        agent: NetworkAgent[Any, Any],
        observation: Observation,
        networks: int,
        context: RequestContext,
    ) -> Decision:
        """Let an agent on this model's network act, in the model's queue and alone."""
        act: Callable[[], Decision] = partial(agent.act, observation)
        return await self._batcher.submit(
            self._driving, act, networks, deadline_s=context.deadline_s
        )

    def _whole(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        for picture in pictures:
            self.require_camera(picture)
        return np.stack(pictures)

    def _prepare(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        for picture in pictures:
            self.require_camera(picture)
        return np.stack([self._network.prepare(picture) for picture in pictures])

    def _measure_driving(self) -> RunCost:
        camera = self.camera
        observation = Observation(
            frame=0,
            time_s=0.0,
            image=np.zeros((camera.height, camera.width, 3), np.uint8),
            pose=_START,
            speed_mps=0.0,
        )
        road = _straight_road(RoadOption.LANE_FOLLOW, 0.0)
        agent = self.episode(road, DrivingOptions()).agent
        return measure_run_cost(lambda networks: [agent.act(observation) for _ in range(networks)])


class DrivingEpisode:
    """An agent on its way along a route. Ask it once per tick, in order."""

    def __init__(self, model: AgentModel, agent: NetworkAgent[Any, Any], *, networks: int) -> None:
        """Join an agent that has begun its route with the model that runs its network.

        Args:
            model: The model.
            agent: The agent.
            networks: How many networks it may ask per tick.
        """
        self._model = model
        self._agent = agent
        self._networks = networks

    @property
    def agent(self) -> NetworkAgent[Any, Any]:
        """The agent; its networks belong to the served models, so it must not be closed."""
        return self._agent

    async def act(self, observation: Observation, *, context: RequestContext) -> Decision:
        """Decide the control for the next tick; the same as the agent in this process.

        Raises:
            DataError: If there is no picture, or not one of the agent's camera.
            RequestError: 429 and 503 as `MicroBatcher.submit`.
        """
        if observation.image is None:
            raise DataError(f"frame {observation.frame} has no picture")
        self._model.require_camera(observation.image)
        return await self._model.decide(self._agent, observation, self._networks, context)


def _call(act: Callable[[], Decision]) -> Decision:
    return act()


@lru_cache(maxsize=64)
def _straight_road(command: RoadOption, target_speed_mps: float) -> Route:
    """Return a straight road from the origin along x; its arrays must not be changed."""
    s_m = np.array([0.0, _ROAD_M / 2, _ROAD_M])
    return Route(
        name="straight road",
        town="",
        kind="straight",
        xyz_m=np.stack([s_m, np.zeros(3), np.zeros(3)], axis=1),
        yaw_rad=np.zeros(3),
        s_m=s_m,
        command=np.full(3, int(command), np.int8),
        in_junction=np.zeros(3, np.bool_),
        lane_width_m=np.full(3, 3.5),
        speed_limit_mps=np.full(3, target_speed_mps),
        target_speed_mps=np.full(3, target_speed_mps),
    )
