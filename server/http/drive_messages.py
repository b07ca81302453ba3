"""What a driver over a WebSocket sends: the route once, then one observation and picture a tick."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.correction.names import CorrectionName
from bicameral.types import Observation, Pose, Route
from server.errors import RequestError, unfit
from server.http.drive_answers import COMMANDS
from server.http.drive_query import FASTEST_MPS, CommandName

M = TypeVar("M", bound=BaseModel)

#: How pictures come: raw uint8 pixels row by row, or a file such as PNG.
PictureFormat = Literal["rgb", "bgra", "encoded"]

_LONGEST_DELAY_TICKS = 1000

_Number = Annotated[float, Field(allow_inf_nan=False)]
#: A coordinate in metres; larger than any map, small enough for its square to be finite.
_Coordinate = Annotated[float, Field(ge=-1e8, le=1e8)]
_Speed = Annotated[float, Field(ge=-FASTEST_MPS, le=FASTEST_MPS)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RouteMessage(_Message):
    """A `bicameral.types.Route`; all lists have an entry per point, commands are names."""

    name: str
    town: str
    kind: str
    xyz_m: list[tuple[_Coordinate, _Coordinate, _Coordinate]] = Field(min_length=2)
    yaw_rad: list[_Number]
    s_m: list[_Coordinate]
    command: list[CommandName]
    in_junction: list[bool]
    lane_width_m: list[_Number]
    speed_limit_mps: list[_Speed]
    target_speed_mps: list[_Speed]

    def route(self, max_points: int) -> Route:
        """Return the route.

        Raises:
            RequestError: 400 if it is none; 413 if it has too many points.
        """
        points = len(self.xyz_m)
        if points > max_points:
            raise RequestError(
                413, f"the route has {points:,} points, allowed are {max_points:,}; thin it out"
            )
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != points:
                raise RequestError(
                    400,
                    f"route.{name} has {len(value)} entries, expected {points}, as xyz_m has",
                )
        s_m = np.array(self.s_m)
        if s_m[0] != 0 or (np.diff(s_m) <= 0).any():
            raise RequestError(
                400, "route.s_m does not begin at 0, or does not increase throughout"
            )
        columns = {name: np.array(value) for name, value in self if isinstance(value, list)}
        columns["command"] = np.array([COMMANDS[name] for name in self.command], np.int8)
        return Route(name=self.name, town=self.town, kind=self.kind, **columns)


class BeginMessage(_Message):
    """How an episode is driven.

    Attributes:
        route: Where to go.
        seed: Of the noise of the correction ``paper``.
        correction: What to do about a steering value that may be wrong.
        second: The agent to ask for a second opinion.
        delay_ticks: Ticks between a picture and the control that follows from it, beyond one.
        picture: How pictures come.
    """

    route: RouteMessage
    seed: int = Field(0, ge=0, lt=1 << 32)
    correction: CorrectionName = "none"
    second: str | None = None
    delay_ticks: int = Field(0, ge=0, le=_LONGEST_DELAY_TICKS)
    picture: PictureFormat = "rgb"


class PoseMessage(_Message):
    """A `bicameral.types.Pose`."""

    x_m: _Coordinate
    y_m: _Coordinate
    z_m: _Coordinate = 0.0
    pitch_rad: _Number = 0.0
    yaw_rad: _Number = 0.0
    roll_rad: _Number = 0.0


class TickMessage(_Message):
    """A `bicameral.types.Observation` without its picture, which is the next message."""

    frame: int = Field(ge=0, lt=1 << 53)
    time_s: _Number
    pose: PoseMessage
    speed_mps: _Speed

    def observation(self, image: NDArray[np.uint8]) -> Observation:
        """Return the observation with its picture."""
        return Observation(
            frame=self.frame,
            time_s=self.time_s,
            image=image,
            pose=Pose(**self.pose.model_dump()),
            speed_mps=self.speed_mps,
        )


def read_message(kind: type[M], text: str) -> M:
    """Parse a message.

    Args:
        kind: `BeginMessage` or `TickMessage`.
        text: JSON.

    Raises:
        RequestError: 400 with every field that does not fit.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise unfit("the message", error) from None


def pixels_from_bytes(
    data: bytes, form: PictureFormat, height: int, width: int
) -> NDArray[np.uint8]:
    """Return raw pixels as (height, width, 3) uint8 RGB, which must not be changed.

    Raises:
        RequestError: 400 if there are more or fewer bytes than such a picture has.
    """
    channels = 4 if form == "bgra" else 3
    if len(data) != height * width * channels:
        raise RequestError(
            400,
            f"the picture has {len(data):,} bytes, expected {height * width * channels:,}: "
            f"{height} rows of {width} pixels in {form!r}, as the agent's camera gives them",
        )
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(pixels[..., 2::-1]) if form == "bgra" else pixels
