"""``python -m sim.pocket``: run the pocket simulator."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from bicameral.errors import BicameralError
from sim.pocket.server import ServerSettings, serve


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve until interrupted; returns the exit code."""
    defaults = ServerSettings()
    parser = argparse.ArgumentParser(prog="python -m sim.pocket", description=__doc__)
    parser.add_argument("--host", default=defaults.host, help="address to listen on")
    parser.add_argument(
        "--port", type=int, default=defaults.port, help="RPC port; the next one too"
    )
    parser.add_argument("--town", default=defaults.town, help="the first map")
    parser.add_argument(
        "--maps",
        nargs="*",
        type=Path,
        default=[],
        dest="map_folders",
        metavar="MAPS",
        help="folders with .xodr files",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, help="seed of scenery and noise")
    parser.add_argument(
        "--camera-threads",
        type=int,
        default=defaults.camera_threads,
        metavar="N",
        help="threads that render a picture, 1 to 64",
    )
    parser.add_argument(
        "--compile-first", action="store_true", help="compile the kernels before clients connect"
    )
    parser.add_argument(
        "--number-anew", action="store_true", help="number actors anew in every world"
    )
    parser.add_argument(
        "--build-late", action="store_true", help="build scenery when something first needs it"
    )
    parser.add_argument("--verbose", action="store_true", help="log what clients do")
    options = vars(parser.parse_args(arguments))
    logging.basicConfig(
        level=logging.INFO if options.pop("verbose") else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        settings = ServerSettings(map_folders=tuple(options.pop("map_folders")), **options)
        asyncio.run(_serve_until_signalled(settings))
    except BicameralError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve_until_signalled(settings: ServerSettings) -> None:
    def announce() -> None:
        sys.stdout.write(f"listening on {settings.host}:{settings.port}\n")
        sys.stdout.flush()

    task = asyncio.ensure_future(serve(settings, announce))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main())
