"""`bicameral bench sim`: what the pocket simulator costs on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.extras import require_extra
from bicameral.simulation import TICK_S
from bicameral.tables import Table, print_table, table_of
from sim.pocket.map_store import MapStore

if TYPE_CHECKING:
    from sim.pocket.bench import Cost, Growth
    from sim.pocket.camera.bench import FrameCost


#: Frames of each kind of camera, along the town's spawn points among parked cars.
_FRAMES = 60


def bench_simulator(*, town: str = "Harbour") -> int:
    """Print the CPU time of one simulator tick, part by part, with ratios from the same run.

    Args:
        town: Map: a town's name or an OpenDRIVE file.
    """
    require_extra("sim")
    from sim.pocket.bench import measure_growth, measure_tick
    from sim.pocket.camera.bench import measure_camera

    name = Path(town).stem
    print_table(_tick_table(f"one tick on {name}, one vehicle", measure_tick(town)))
    costs = measure_camera(MapStore().load(town), _FRAMES)
    print_table(_camera_table(f"camera frames on {name}, 30 parked cars", costs))
    print_table(_growth_table("how the cost grows", measure_growth()))
    return 0


def _tick_table(title: str, costs: Sequence[Cost]) -> Table:
    limit_ms = costs[-1].median_ms
    rows = tuple(
        (
            cost.part,
            f"{cost.median_ms:.3f}",
            f"{cost.least_ms:.3f}-{cost.most_ms:.3f}",
            f"{cost.median_ms / limit_ms:.1f}",
            f"{cost.median_ms / (10.0 * TICK_S):.2f}",
        )
        for cost in costs
    )
    labels = ("part", "CPU ms", "range", "x limit", "% of a 50 ms tick")
    return table_of(title, labels, rows)


def _camera_table(title: str, costs: Sequence[FrameCost]) -> Table:
    stages = ("transform_ms", "raster_ms", "shade_ms", "encode_ms", "total_ms")
    rows = [(cost.name, *(f"{getattr(cost, stage):.2f}" for stage in stages)) for cost in costs]
    labels = ("camera", "transform", "raster", "shade", "encode", "CPU ms per frame")
    return table_of(title, labels, rows)


def _growth_table(title: str, parts: Sequence[Growth]) -> Table:
    rows = [
        (
            one.part,
            one.unit,
            ", ".join(
                f"{size:g}: {cost:.2f}"
                for size, cost in zip(one.sizes, one.medians_ms, strict=True)
            ),
            f"{one.slope_ms:.4f}",
        )
        for one in parts
    ]
    return table_of(title, ("part", "by", "CPU ms at each size", "CPU ms each more"), rows)
