"""`bicameral bench serve`: what a request costs beside the network that answers it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.exit_codes import FINDINGS_EXIT_CODE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from server.bench.cost import Cost
    from server.bench.suite import SuiteResult
    from server.bench.verdicts import Verdict

#: Starts this command line with this interpreter, also where no script is installed.
SERVE_COMMAND = (sys.executable, "-c", "from bicameral.cli.app import main; main()", "serve")


def bench_server(
    *,
    peer_python: Path | None = None,
    passes: int = 3,
    time_scale: float = 1.0,
    output: Path | None = None,
) -> int:
    """Print the processor time of a request over that of one in-process run of its network.

    Starts real servers and loads them from a process of its own. All cells are measured one after
    the other, then in reverse, then again, with the in-process run before and after every cell. The
    exit code is 1 if something costs more than it should.

    Args:
        peer_python: Interpreter of an environment with mlserver, to compare with.
        passes: Passes over all cells; the table shows median and range.
        time_scale: Multiplies the time of every cell.
        output: JSON file for all figures.
    """
    from rich.console import Console

    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar
    from bicameral.files import write_json_atomic

    require_extra("server")
    require_extra("export")
    from server.bench.suite import SuiteSettings, run_suite

    settings = SuiteSettings(
        command=SERVE_COMMAND, peer_python=peer_python, passes=passes, time_scale=time_scale
    )
    with tempfile.TemporaryDirectory() as folder, ProgressBar("measuring") as bar:
        result = run_suite(settings, Path(folder), bar.update)
    if output is not None:
        write_json_atomic(output, asdict(result))
    console = Console()
    console.print(_cost_table(result))
    return print_verdicts(console, result.verdicts)


def print_verdicts(console: Console, verdicts: Sequence[Verdict]) -> int:
    """Print what should hold and whether it does; return the exit code."""
    from rich.table import Table

    table = Table(title="what it should cost at most", title_justify="left")
    table.add_column("figure")
    for column in ("measured", "at most", ""):
        table.add_column(column, justify="right")
    for verdict in verdicts:
        table.add_row(
            verdict.claim,
            f"{verdict.value:.2f}",
            f"{verdict.limit:.2f}",
            "holds" if verdict.holds else "[bold red]missed[/]",
        )
    console.print(table)
    return 0 if all(verdict.holds for verdict in verdicts) else FINDINGS_EXIT_CODE


def _cost_table(result: SuiteResult) -> Table:
    from rich.table import Table

    table = Table(
        title=f"processor time per request over one in-process run, median of "
        f"{result.costs[0].passes} passes; {result.escalated_share:.0%} of the pair's pictures "
        "escalate",
        title_justify="left",
    )
    for column in ("server", "model", "requests", "clients"):
        table.add_column(column, justify="right" if column == "clients" else "left")
    for column in ("x run", "range", "us/request", "us/run", "req/s", "p50 ms", "p99 ms", "failed"):
        table.add_column(column, justify="right")
    for cost in result.costs:
        table.add_row(*_cost_row(cost))
    return table


def _cost_row(cost: Cost) -> tuple[str, ...]:
    return (
        cost.server,
        cost.model,
        cost.form,
        str(cost.connections),
        f"{cost.ratio:.2f}",
        f"{cost.least_ratio:.2f}-{cost.most_ratio:.2f}",
        f"{1e6 * cost.request_s:.0f}",
        f"{1e6 * cost.reference_s:.0f}",
        f"{cost.requests_per_s:.0f}",
        f"{1e3 * cost.median_s:.2f}",
        f"{1e3 * cost.p99_s:.2f}",
        f"{cost.failed} of {cost.answered + cost.failed}",
    )
