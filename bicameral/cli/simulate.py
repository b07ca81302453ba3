"""`bicameral simulate`: run the pocket simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from bicameral.cli.extras import require_extra
from bicameral.cli.numbers import CarlaPort, Seed


def simulate(
    *,
    port: CarlaPort = 2000,
    host: str = "127.0.0.1",
    town: str = "Harbour",
    maps: tuple[Path, ...] = (),
    seed: Seed = 0,
    camera_threads: int = 1,
) -> int:
    """Serve CARLA 0.9.16's protocol on ports PORT and PORT + 1 until interrupted.

    Any script written for the official carla client connects to it unchanged.

    Args:
        port: Port of the calls; the sensors stream on the next one.
        host: Address to listen on; only this machine unless told otherwise.
        town: Map to load first: a shipped or generated town, or an OpenDRIVE file.
        maps: Further folders with OpenDRIVE files; CARLA_ROOT is searched as well.
        seed: Seed of everything random in the world.
        camera_threads: Threads that render a picture, 1 to 64; its bytes do not depend on it.
    """
    require_extra("sim")
    from sim.pocket.server import ServerSettings, serve

    settings = ServerSettings(
        host=host,
        port=port,
        map_folders=maps,
        town=town,
        seed=seed,
        compile_first=True,
        camera_threads=camera_threads,
    )

    def announce() -> None:
        Console().print(f"listening on {host}:{port}", highlight=False)

    asyncio.run(serve(settings, announce))
    return 0
