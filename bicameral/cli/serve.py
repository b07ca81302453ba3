"""`bicameral serve`: answer requests for models over HTTP."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bicameral.cli.extras import require_extra
from edge.shipped import weights_folder
from server.api_keys import KeyFile
from server.limits import ServerSettings
from server.processes.listening import listen
from server.processes.run_folder import RunFolder
from server.serving.model_folder import scan_folders

if TYPE_CHECKING:
    from starlette.types import ASGIApp


_log = logging.getLogger(__name__)


def serve(
    folders: tuple[Path, ...] = (),
    /,
    *,
    settings: Annotated[ServerSettings | None, Parameter(name="*")] = None,
    tracing: bool = False,
) -> int:
    """Serve models over the Open Inference Protocol until interrupted.

    A folder holds ONNX files, with sidecars beside them where they have any, or ``NAME/VERSION/``
    folders that do.
    SIGTERM and the first ^C let accepted requests finish, a second one ends at once. Limits of
    requests, batches, streams and lessons are set in ``bicameral.toml`` or the environment;
    docs/server.md lists them.

    Args:
        folders: Folders of models; by default those that ship with bicameral.
        settings: Where to listen, and what may be asked for.
        tracing: Send OpenTelemetry traces of requests to where the variables OTEL_* say, by default
            to a collector on this machine; needs the extra 'tracing'.
    """
    require_extra("server")
    if tracing:
        require_extra("tracing")
    from server.logs import configure_logging
    from server.processes.supervisor import run_workers

    settings = settings or ServerSettings()
    folders = folders or (weights_folder(),)
    scan_folders(folders)  # refuses what is no folder before anything starts
    keys = None if settings.api_keys is None else KeyFile(settings.api_keys)
    configure_logging(settings.log_format, "supervisor")
    if settings.grpc_port is not None:
        require_extra("grpc")
        listen(settings.host, settings.grpc_port).close()  # refuses a port that others have
    if keys is None and not settings.local:
        _log.warning(
            "there are no API keys: whoever reaches %s may also load and unload models; 'bicameral "
            "keys new' makes one",
            settings.host,
        )
    return run_workers(settings, partial(_worker_app, settings, folders, keys, tracing))


def _worker_app(
    settings: ServerSettings,
    folders: tuple[Path, ...],
    keys: KeyFile | None,
    tracing: bool,
    run_folder: RunFolder,
) -> ASGIApp:
    """Build a worker's application, in its process: the supervisor needs none of its libraries."""
    from server.app import create_app
    from server.http.authorisation import KeyHolders
    from server.tracing import start_tracing

    return create_app(
        settings,
        folders,
        run_folder,
        # As the supervisor has read them, so that a worker can begin while the file is broken.
        KeyHolders(keys) if keys else None,
        start_tracing() if tracing else None,
    )
