"""The server as replicas behind Ray Serve, which starts, spreads and replaces them.

    serve run server.ray_serve:application replicas=2 redis_url=redis://10.0.0.5

Each replica is a server of one worker. What the workers of one server share, replicas do not: each
loads and unloads models and counts for itself. The result memory on Redis is theirs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bicameral.errors import ConfigError, MissingExtraError
from edge.shipped import weights_folder
from server.api_keys import KeyFile
from server.app import create_app
from server.http.authorisation import Authorise, KeyHolders
from server.limits import ServerSettings
from server.processes.run_folder import temporary_run_folder
from server.serving.model_folder import scan_folders

#: Of the deployment, in Ray Serve's configuration and status.
NAME = "server"

#: Tells which replica answered.
_HEADER = b"x-replica"

#: What a replica may need to end beyond the time for its requests.
_EXIT_MARGIN_S = 5.0


#: Settings of a server whose business here is Ray's, or the whole machine's.
_NOT_A_REPLICAS = frozenset({"host", "port", "workers", "meter", "log_format"})


class ReplicaArguments(BaseModel):
    """What ``args`` of a Ray Serve application say.

    Attributes:
        replicas: How many to start.
        folders: Folders of models, at the same place on every node; none: the shipped ones.
        settings: Those of `bicameral serve`; in ``args`` they stand beside the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int = Field(1, ge=1)
    folders: tuple[Path, ...] = ()
    settings: ServerSettings = ServerSettings()

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> ReplicaArguments:
        """Read them.

        Raises:
            ConfigError: If one is unknown, concerns no replica, or has a value that does not fit.
        """
        unfit = sorted(_NOT_A_REPLICAS & args.keys())
        if unfit:
            raise ConfigError(
                f"{unfit} cannot be set for a replica: Ray Serve's http_options say where to "
                "listen, replicas how many processes there are, and joules belong to a machine"
            )
        own = {name: value for name, value in args.items() if name in ("replicas", "folders")}
        settings = {name: value for name, value in args.items() if name not in own}
        try:
            return cls.model_validate({**own, "settings": settings})
        except ValidationError as error:
            raise ConfigError(f"the arguments of {__name__} do not fit: {error}") from error


def application(arguments: dict[str, Any]) -> Any:
    """Build the application for ``serve run`` and for the ``import_path`` of a configuration.

    Args:
        arguments: See `ReplicaArguments`, e.g. ``{"replicas": 2, "redis_url": "redis://..."}``.

    Returns:
        A ``ray.serve.Application``.

    Raises:
        ConfigError: If the arguments do not fit, or a folder or the API keys cannot be read.
        MissingExtraError: If Ray is not installed.
    """
    given = ReplicaArguments.from_args(arguments)
    settings, folders = given.settings, given.folders or (weights_folder(),)
    scan_folders(folders)  # refuses what is no folder before anything starts
    keys = settings.api_keys
    authorise = None if keys is None else KeyHolders(KeyFile(keys))
    try:
        from ray import serve
    except ImportError as error:
        raise MissingExtraError("ray", "cluster") from error

    def build() -> ASGIApp:
        return Replica(settings, folders, authorise, serve.get_replica_context().replica_tag)

    deployment = serve.deployment(
        serve.ingress(build)(),
        name=NAME,
        num_replicas=given.replicas,
        # More than a model's queue takes: so it is the replica that refuses, with 429 and
        # Retry-After, before requests pile up in Ray's proxy.
        max_ongoing_requests=2 * settings.batching.max_queued_requests,
        graceful_shutdown_timeout_s=settings.drain_s + _EXIT_MARGIN_S,
    )
    return deployment.bind()


class Replica:
    """The ASGI application of one replica: a worker that is alone in its server."""

    def __init__(
        self,
        settings: ServerSettings,
        folders: Sequence[Path],
        authorise: Authorise | None,
        name: str,
    ) -> None:
        """Prepare; nothing is loaded before the lifespan begins.

        Args:
            settings: Limits, and where results are remembered.
            folders: Folders of models.
            authorise: Who may do what; None: everybody may do everything.
            name: How answers call this replica.
        """
        # Ray's proxy listens, wherever it does, and calls replicas by any name.
        self._settings = replace(settings, host="0.0.0.0")  # noqa: S104 - it does not bind
        self._folders = folders
        self._authorise = authorise
        self._header = (_HEADER, name.encode("ascii"))
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or live through the lifespan."""
        if scope["type"] == "lifespan":
            with temporary_run_folder() as folder:
                self._app = create_app(self._settings, self._folders, folder, self._authorise)
                await self._app(scope, receive, send)
            return
        if self._app is None:
            raise RuntimeError("a request came before the lifespan began")

        async def send_with_name(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, send_with_name)
