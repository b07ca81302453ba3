"""`bicameral bench overload`: what becomes of requests when there are too many."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.bench_server import SERVE_COMMAND, print_verdicts

if TYPE_CHECKING:
    from rich.table import Table

    from server.bench.overload import OverloadResult


def bench_overload(*, passes: int = 3) -> int:
    """Ask a server for ten times what its slow network can answer, without waiting for answers.

    The exit code is 1 if what it accepts takes much longer than without overload, or if it refuses
    slowly.

    Args:
        passes: How often; every time a light load is measured first.
    """
    from rich.console import Console

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar

    require_extra("server")
    require_extra("export")
    from server.bench.overload import OverloadSettings, run_overload

    settings = OverloadSettings(command=SERVE_COMMAND, passes=passes)
    with tempfile.TemporaryDirectory() as folder, ProgressBar("overloading") as bar:
        result = run_overload(settings, Path(folder), bar.update)
    console = Console()
    console.print(_pass_table(result))
    return print_verdicts(console, result.verdicts)


def _pass_table(result: OverloadResult) -> Table:
    from rich.table import Table

    table = Table(
        title=f"a network of {1e3 * result.run_s:.1f} ms a run, asked "
        f"{result.passes[0].rate_per_s:.0f} times a second; --batching.max-wait-s "
        f"{result.max_wait_s:.4f}; 99th percentiles in ms",
        title_justify="left",
    )
    columns = ("pass", "light", "taken", "ratio", "refused", "slowest", "200", "429", "other")
    for column in columns:
        table.add_column(column, justify="right")
    for number, one in enumerate(result.passes, 1):
        table.add_row(
            str(number),
            f"{1e3 * one.light_p99_s:.1f}",
            f"{1e3 * one.accepted_p99_s:.1f}",
            f"{one.accepted_p99_s / one.light_p99_s:.2f}",
            f"{1e3 * one.refused_p99_s:.1f}",
            f"{1e3 * one.refused_most_s:.1f}",
            f"{one.accepted:,}",
            f"{one.refused:,}",
            f"{one.other:,}",
        )
    return table
