"""`bicameral bench`: what the pocket simulator costs on this machine."""

from __future__ import annotations

from pathlib import Path


def bench(
    *,
    town: str = "Harbour",
    maps: tuple[Path, ...] = (),
    side: int = 448,
    rounds: int = 7,
) -> int:
    """Print the CPU time of one simulator tick, part by part, with ratios from the same run.

    Args:
        town: Map: a town's name or an OpenDRIVE file.
        maps: Further folders with OpenDRIVE files.
        side: Width and height of the camera in pixels.
        rounds: Interleaved rounds; the table shows median and range over them.
    """
    from rich.console import Console
    from rich.table import Table

    from bicameral.cli.extras import require_extra

    require_extra("sim")
    from sim.pocket.tick_bench import TICK_BUDGET_S, BenchSettings, measure

    settings = BenchSettings(town=town, map_folders=maps, side_px=side, rounds=rounds)
    costs = measure(settings)
    limit_ms = costs[-1].median_ms
    table = Table(title=f"pocket simulator on {Path(town).stem}, one vehicle", title_justify="left")
    for column in ("part", "CPU ms", "range", "x limit", "% of a 50 ms tick"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for cost in costs:
        table.add_row(
            cost.part,
            f"{cost.median_ms:.3f}",
            f"{cost.least_ms:.3f}-{cost.most_ms:.3f}",
            f"{cost.median_ms / limit_ms:.1f}",
            f"{cost.median_ms / (10.0 * TICK_BUDGET_S):.2f}",
        )
    Console().print(table)
    return 0
