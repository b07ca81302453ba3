"""`bicameral bench sim`: what the pocket simulator costs on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.extras import require_extra
from bicameral.simulation import TICK_S
from bicameral.tables import Table, print_table, table_of

if TYPE_CHECKING:
    from sim.pocket.bench import Cost, Growth


def bench_simulator(*, town: str = "Harbour") -> int:
    """Print the CPU time of one simulator tick, part by part, with ratios from the same run.

    Args:
        town: Map: a town's name or an OpenDRIVE file.
    """
    require_extra("sim")
    from sim.pocket.bench import PARKED_VEHICLES, measure_camera, measure_growth, measure_tick

    name = Path(town).stem
    print_table(_tick_table(f"one tick on {name}, one vehicle", measure_tick(town)))
    title = f"camera frames on {name}, {PARKED_VEHICLES} parked cars"
    print_table(_camera_table(title, measure_camera(town)))
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


def _camera_table(title: str, costs: Mapping[str, Sequence[float]]) -> Table:
    from sim.pocket.bench import STAGES

    rows = [
        (name, *(f"{cost:.2f}" for cost in (*parts, sum(parts)))) for name, parts in costs.items()
    ]
    return table_of(title, ("camera", *STAGES, "CPU ms per frame"), rows)


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
