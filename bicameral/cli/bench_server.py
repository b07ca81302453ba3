"""`bicameral bench serve`: what a request costs beside the network that answers it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bicameral.cli.extras import require_extra
from bicameral.cli.progress import ProgressBar
from bicameral.tables import Table, print_table, table_of
from server.bench.running import ServerCommand, running_servers

if TYPE_CHECKING:
    from server.bench.cost import Cell, Cost

#: Starts this command line with this interpreter, also where no script is installed.
SERVE_COMMAND = (sys.executable, "-c", "from bicameral.cli.app import main; main()", "serve")


#: Passes over all cells, of which the table shows median and range, and seconds of each load.
_PLAN = (3, 1.5)


def bench_server() -> int:
    """Print the processor time of a request over that of the same answer without a server.

    Serves the shipped models with one worker and loads it from a process of its own. All cells are
    measured one after the other, then in reverse, then again, with the model alone before and after
    every load.
    """
    require_extra("server")
    from server.bench.cost import measure_costs, shipped_cells
    from server.bench.load import load_process

    server, remembering = "no memory", "with memory"
    words = [*SERVE_COMMAND, "--port={port}", "--workers=1"]
    commands = [
        ServerCommand(name=server, words=[*words, "--no-remember"]),
        ServerCommand(name=remembering, words=words),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        load_process() as loads,
        running_servers(commands, Path(folder)) as servers,
        ProgressBar("measuring") as bar,
    ):
        cells = shipped_cells(server, remembering, clients=(1, 8))
        costs = measure_costs(servers, loads, cells, _PLAN, bar.update)
    print_table(cost_table(costs))
    return 0


def cost_table(costs: Mapping[Cell, Sequence[Cost]]) -> Table:
    """Lay out what was measured."""
    from server.bench.cost import median_of

    return table_of(
        "processor time per request over that of the same answer without a server",
        (
            *("server", "model", "requests", "clients", "x answer", "range", "us/request"),
            *("us/answer", "req/s", "p50 ms", "p99 ms", "failed"),
        ),
        (
            (
                cell.server,
                cell.model,
                cell.form,
                cell.connections,
                f"{median_of(passes, lambda one: one.ratio):.2f}",
                f"{min(one.ratio for one in passes):.2f}-{max(one.ratio for one in passes):.2f}",
                f"{1e6 * median_of(passes, lambda one: one.request_s):.0f}",
                f"{1e6 * median_of(passes, lambda one: one.reference_s):.0f}",
                f"{median_of(passes, lambda one: one.requests_per_s):.0f}",
                f"{1e3 * median_of(passes, lambda one: one.median_s):.2f}",
                f"{1e3 * median_of(passes, lambda one: one.p99_s):.2f}",
                f"{sum(one.failed for one in passes)}",
            )
            for cell, passes in costs.items()
        ),
        words=3,
        note="median and range over the passes; n is what the loads of all passes had answered: "
        f"{sum(one.answered for passes in costs.values() for one in passes):,}",
    )
