"""An agent that a server runs: it gets the pictures and answers with controls.

The server's own agent, on the same pictures, poses and route, decides the same to the last bit:
pixels travel as they are, and numbers as JSON, which gives every float64 back.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

import numpy as np

from agent.correction.names import MAY_ASK_B, require_correction
from bicameral.errors import (
    AgentLostError,
    BicameralError,
    ConfigError,
    DataError,
    MissingExtraError,
    unknown_name,
)
from bicameral.types import CameraSpec, Control, Decision, Observation, RoadOption, Route

if TYPE_CHECKING:
    from websockets.frames import Close
    from websockets.sync.client import ClientConnection

#: The environment variable with the key for servers that ask for one. It is no argument, since
#: arguments of agents are written to files.
API_KEY_VARIABLE: Final = "BICAMERAL_API_KEY"

_PATH: Final = "/v1/drive/"
_STREAM: Final = "/stream"
_HTTP_FROM_SCHEME: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}

#: How long the server may take for a connection, and for a decision.
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 60.0

#: Pause between two attempts to reach a server that may be starting again.
_RETRY_S: Final = 0.5

#: Close codes of the server: 4000 plus an HTTP status.
_FAILURE_CODE: Final = 4000
#: A message is too large (RFC 6455, 7.4.1).
_TOO_LARGE_CODE: Final = 1009
#: Statuses that another attempt may not get: too slow, too many.
_PASSING_STATUSES: Final = (408, 429)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteDriver:
    """What a server tells about one of its agents.

    Attributes:
        model: Name of the agent.
        version: Its version.
        fingerprint: Hash of its network.
        trained_on: Simulator of its training data.
        camera: The camera that it needs.
        corrections: What it can do about a steering value that may be wrong.
        second: Agents that it may ask for a second opinion.
    """

    model: str
    version: str
    fingerprint: str
    trained_on: str
    camera: CameraSpec
    corrections: tuple[str, ...]
    second: tuple[str, ...]

    def require(self, correction: str, second: str | None) -> None:
        """Refuse what it cannot do.

        Raises:
            UserError: If it has no such correction, or cannot ask that agent.
            ConfigError: If there is nobody to ask.
        """
        require_correction(correction, self.corrections, second)
        if correction in MAY_ASK_B and second is not None and second not in self.second:
            raise unknown_name(f"second agent for {self.model!r}", second, self.second)


def describe_remote(url: str) -> RemoteDriver:
    """Ask a server about an agent.

    Args:
        url: ``http://HOST:PORT/v1/drive/NAME``, or with ``ws``, or https and wss.

    Raises:
        ConfigError: If the address is none of an agent, or the server refuses to tell.
        AgentLostError: If the server does not answer.
    """
    address = _address(url)
    request = Request(address, headers=_headers())  # noqa: S310 - the scheme is one of HTTP's
    try:
        with urlopen(request, timeout=_CONNECT_S) as answer:  # noqa: S310
            found = json.loads(answer.read())
        return RemoteDriver(
            model=found["model"],
            version=found["version"],
            fingerprint=found["fingerprint"],
            trained_on=found["trained_on"],
            camera=CameraSpec(**found["camera"]),
            corrections=tuple(found["corrections"]),
            second=tuple(found["second"]),
        )
    except HTTPError as error:
        message = f"{address} answers {error.code}: {_error_in(error.read())}"
        raise _refusal(error.code, message) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise AgentLostError(
            f"cannot reach the agent at {address}: {reason}; is 'bicameral serve' running there?"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{address} does not answer as a server of driving agents: {error!r}; expected "
            "http://HOST:PORT/v1/drive/NAME of 'bicameral serve'"
        ) from error


class RemoteAgent:
    """A `bicameral.protocols.DrivingAgent`; every episode has a connection of its own.

    Attributes:
        patience_s: How long `begin` waits for a server that does not answer.
    """

    patience_s: float = 30.0
    #: As the agents that a server runs.
    privileged = False

    def __init__(
        self,
        url: str,
        correction: str = "none",
        second: str | None = None,
        *,
        delay_ticks: int = 0,
        fingerprint: str | None = None,
    ) -> None:
        """Ask the server about the agent; `begin` connects.

        Args:
            url: See `describe_remote`.
            correction: One of those that the server tells.
            second: The server's name for network B; used only if the correction may ask it.
            delay_ticks: See `agent.network_agent.RouteDriver`.
            fingerprint: Of the network that has to drive; None: the one that the server has now.

        Raises:
            UserError: If the address, the correction or the second network does not exist.
            AgentLostError: If the server does not answer.
        """
        self._driver = describe_remote(url)
        self._driver.require(correction, second)
        self._url = url
        self._fingerprint = fingerprint or self._driver.fingerprint
        self._settings = {
            "correction": correction,
            "second": second if correction in MAY_ASK_B else None,
            "delay_ticks": delay_ticks,
        }
        self._connection: ClientConnection | None = None
        self._open = ExitStack()

    @property
    def name(self) -> str:
        """``remote-`` and the server's name for it."""
        return f"remote-{self._driver.model}"

    @property
    def camera(self) -> CameraSpec | None:
        """The camera that it needs."""
        return self._driver.camera

    def begin(self, route: Route, seed: int) -> None:
        """Connect anew, and tell the route.

        Raises:
            UserError: If the server does not accept it.
            AgentLostError: If the server does not answer, or has another network by now.
        """
        self.close()
        self._connection = self._connect()
        begun = self._ask(
            json.dumps(
                {
                    "route": _route_message(route),
                    "seed": seed,
                    "picture": "rgb",
                    **self._settings,
                }
            )
        )
        if begun["fingerprint"] != self._fingerprint:
            raise AgentLostError(
                f"the network of the agent at {self._url} is another one by now: version "
                f"{begun['version']} with fingerprint {begun['fingerprint'][:12]}, expected "
                f"{self._fingerprint[:12]}; load the old one, or begin a new evaluation"
            )

    def act(self, observation: Observation) -> Decision:
        """Let the server decide the control for the next tick.

        Raises:
            RuntimeError: If `begin` was not called.
            DataError: If the observation has no picture.
            UserError: If the server does not accept it.
            AgentLostError: If the server does not answer.
        """
        if observation.image is None:
            raise DataError(f"frame {observation.frame} has no picture; mount the agent's camera")
        head = {
            "frame": observation.frame,
            "time_s": observation.time_s,
            "pose": asdict(observation.pose),
            "speed_mps": observation.speed_mps,
        }
        pixels = np.ascontiguousarray(observation.image).data.cast("B")
        return _decision(self._ask(json.dumps(head), pixels))

    def close(self) -> None:
        """Close the connection."""
        self._connection = None
        self._open.close()

    def _connect(self) -> ClientConnection:
        """Connect; wait for a server that does not answer now, for it may be starting again."""
        give_up_s = time.monotonic() + self.patience_s
        while True:
            try:
                return self._connect_now()
            except AgentLostError:
                if time.monotonic() >= give_up_s:
                    raise
                time.sleep(_RETRY_S)

    def _connect_now(self) -> ClientConnection:
        try:
            from websockets.exceptions import InvalidHandshake, InvalidStatus
            from websockets.sync.client import connect
        except ImportError as error:
            raise MissingExtraError("websockets", "server") from error
        scheme, _, rest = _address(self._url).partition("://")
        address = f"{'wss' if scheme == 'https' else 'ws'}://{rest}{_STREAM}"
        try:
            return self._open.enter_context(
                connect(
                    address,
                    additional_headers=_headers(),
                    # Pictures hardly become smaller, at several milliseconds each.
                    compression=None,
                    open_timeout=_CONNECT_S,
                )
            )
        except InvalidStatus as error:
            response = error.response
            message = f"{address} answers {response.status_code}: {_error_in(response.body)}"
            raise _refusal(response.status_code, message) from error
        except (OSError, InvalidHandshake) as error:
            raise AgentLostError(f"cannot reach the agent at {address}: {error}") from error

    def _ask(self, text: str, picture: memoryview | None = None) -> dict[str, Any]:
        """Send a message, perhaps with a picture, and return the answer."""
        from websockets.exceptions import ConnectionClosed

        connection = self._connection
        if connection is None:
            raise RuntimeError("RemoteAgent.act was called before begin(route, seed)")
        failure = ""
        try:
            # Where the connection has ended, the reason may be among what can still be received.
            with suppress(ConnectionClosed):
                connection.send(text)
                if picture is not None:
                    connection.send(picture)
            while True:
                answer: dict[str, Any] = json.loads(connection.recv(timeout=_ANSWER_S))
                if "error" not in answer:
                    return answer
                failure = answer["error"]  # the end of the connection follows
        except ConnectionClosed as error:
            raise self._ended(error.rcvd, failure) from error
        except TimeoutError as error:
            raise AgentLostError(
                f"the agent at {self._url} did not answer within {_ANSWER_S:g} s"
            ) from error

    def _ended(self, close: Close | None, failure: str) -> BicameralError:
        """Return the error for the end of a connection.

        Args:
            close: What the server sent at the end; None if it just was gone.
            failure: What it told before.
        """
        if close is None:
            return AgentLostError(f"the connection to the agent at {self._url} broke off")
        reason = failure or close.reason or f"WebSocket code {close.code}"
        message = f"the agent at {self._url} ended the episode: {reason}"
        if close.code == _TOO_LARGE_CODE:
            return ConfigError(message)
        return _refusal(close.code - _FAILURE_CODE, message)


def _refusal(status: int, message: str) -> BicameralError:
    """Return the error for an answer of the server.

    Args:
        status: HTTP status; anything else stands for a server that is lost.
        message: What it tells.
    """
    if status in (401, 403):
        return ConfigError(f"{message}; the environment variable {API_KEY_VARIABLE} holds the key")
    if 400 <= status < 500 and status not in _PASSING_STATUSES:
        return ConfigError(message)
    return AgentLostError(message)


def _address(url: str) -> str:
    """Return the address of an agent over HTTP.

    Raises:
        ConfigError: If the address is none of an agent.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix(_STREAM)
    name = path.rpartition(_PATH)[2] if _PATH in path else ""
    if parts.scheme not in _HTTP_FROM_SCHEME or not parts.netloc or not name or "/" in name:
        raise ConfigError(
            f"{url!r} is no address of an agent; expected http://HOST:PORT/v1/drive/NAME, for "
            "example http://127.0.0.1:8000/v1/drive/caril_a"
        )
    return urlunsplit((_HTTP_FROM_SCHEME[parts.scheme], parts.netloc, path, "", ""))


def _headers() -> dict[str, str]:
    key = os.environ.get(API_KEY_VARIABLE)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _error_in(body: bytes | bytearray | None) -> str:
    """Return the message of an answer that tells a failure."""
    try:
        return str(json.loads(body or b"")["error"])
    except (ValueError, KeyError, TypeError):
        return (body or b"").decode("utf-8", "replace")[:200] or "nothing more"


def _route_message(route: Route) -> dict[str, Any]:
    message = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in asdict(route).items()
    }
    return message | {"command": [RoadOption(value).name.lower() for value in message["command"]]}


def _decision(answer: Mapping[str, Any]) -> Decision:
    return Decision(
        control=Control(throttle=answer["throttle"], steer=answer["steer"], brake=answer["brake"]),
        confidence=answer["confidence"],
        entropy=answer["entropy"],
        branch=answer["branch"],
        steer_raw=answer["steer_raw"],
        diagnostics={
            name: math.nan if value is None else value
            for name, value in answer["diagnostics"].items()
        },
        inference_s=answer["times_s"]["networks"],
    )
