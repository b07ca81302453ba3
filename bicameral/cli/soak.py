"""`bicameral bench soak`: is the server right, whole and small after a long day?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.bench_server import SERVE_COMMAND
from bicameral.cli.exit_codes import FINDINGS_EXIT_CODE

if TYPE_CHECKING:
    from rich.table import Table

    from server.bench.soak import SoakResult

#: A worker that surely grows by more than this is not flat.
_FLAT_MIB_H = 10.0


def soak(*, minutes: float = 10.0, clients: int = 6, seed: int = 0) -> int:
    """Send mixed traffic to a server of two workers, check every answer, and kill one worker.

    Models are loaded and unloaded meanwhile, and clients leave in the middle of their requests. The
    exit code is 1 if an answer was wrong or missing, or a worker grew.

    Args:
        minutes: How long; half way a worker is killed.
        clients: Clients that check their answers.
        seed: Decides who asks what.
    """
    from rich.console import Console

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar

    require_extra("server")
    require_extra("export")
    from server.bench.soak import SoakSettings, run_soak

    settings = SoakSettings(
        command=SERVE_COMMAND, duration_s=60 * minutes, clients=clients, seed=seed
    )
    with tempfile.TemporaryDirectory() as folder, ProgressBar("soaking, s") as bar:
        result = run_soak(settings, Path(folder), bar.update)
    console = Console()
    console.print(_traffic_table(result), _happenings_table(result), _memory_table(result))
    faults = [*result.wrong, *result.unexplained]
    for fault in faults:
        console.print(f"[bold red]fault[/] {fault}", highlight=False)
    grown = [slope for slope in result.slopes if slope.low_mib_h > _FLAT_MIB_H]
    return FINDINGS_EXIT_CODE if faults or grown or result.exit_code else 0


def _traffic_table(result: SoakResult) -> Table:
    from rich.table import Table

    table = Table(title="right answers", title_justify="left")
    table.add_column("question")
    table.add_column("answers", justify="right")
    for name, count in sorted(result.answered.items()):
        table.add_row(name, f"{count:,}")
    table.add_section()
    table.add_row("all", f"{result.answered.total():,}")
    return table


def _happenings_table(result: SoakResult) -> Table:
    from rich.table import Table

    table = Table(title="what happened", title_justify="left")
    table.add_column("event")
    table.add_column("", justify="right")
    for event, count in (
        ("wrong answers", len(result.wrong)),
        ("connections that ended without a reason", len(result.unexplained)),
        ("refusals of a busy server, asked again", result.refused),
        ("clients that left before their answer", result.left),
        ("times that a model was loaded and unloaded", result.visits),
        ("answers that it is not there", result.absent),
        ("connections that ended when a worker was killed", result.resets),
        ("their requests, answered when asked again", result.repeated),
    ):
        table.add_row(event, f"{count:,}")
    table.add_row("seconds until the worker was replaced", f"{result.ready_again_s:.1f}")
    table.add_row("exit code of the server", str(result.exit_code))
    return table


def _memory_table(result: SoakResult) -> Table:
    from rich.table import Table

    table = Table(title="private memory of each worker, after warming up", title_justify="left")
    for column in ("process", "MiB", "growth, MiB/h", "95 % interval", "watched, s"):
        table.add_column(column, justify="right")
    for slope in result.slopes:
        killed = " (killed)" if slope.pid == result.killed_pid else ""
        table.add_row(
            f"{slope.pid}{killed}",
            f"{slope.mean_mib:.1f}",
            f"{slope.slope_mib_h:+.1f}",
            f"{slope.low_mib_h:+.1f} to {slope.high_mib_h:+.1f}",
            f"{slope.watched_s:.0f}",
        )
    return table
