"""`bicameral bench serve`: what a request costs beside the network that answers it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bicameral.tables import Table
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
    from bicameral.cli.extras import require_extra
    from bicameral.cli.progress import ProgressBar
    from bicameral.tables import print_table

    require_extra("server")
    from server.bench.cost import (
        BINARY,
        CASCADE,
        JSON,
        LARGE,
        PICTURE,
        REMEMBERED,
        SMALL,
        Cell,
        measure_costs,
    )
    from server.bench.load import load_process
    from server.bench.running import ServerCommand, running_server

    server, remembering = "no memory", "with memory"
    words = [*SERVE_COMMAND, "--port={port}", "--workers=1"]
    commands = [
        ServerCommand(name=server, words=[*words, "--no-remember"]),
        ServerCommand(name=remembering, words=words),
    ]
    cells = [
        *(
            Cell(server=server, model=model, form=form, connections=clients)
            for model in (SMALL, LARGE)
            for form in (BINARY, JSON, PICTURE)
            for clients in (1, 8)
        ),
        Cell(server=server, model=CASCADE, form=BINARY, connections=8),
        Cell(server=remembering, model=CASCADE, form=REMEMBERED, connections=8),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as stack,
        ProgressBar("measuring") as bar,
    ):
        loads = stack.enter_context(load_process())
        servers = {
            command.name: stack.enter_context(
                running_server(command, Path(folder) / f"{command.name}.log")
            )
            for command in commands
        }
        costs = measure_costs(servers, loads, cells, _PLAN, bar.update)
    print_table(cost_table(costs))
    return 0


def cost_table(costs: Mapping[Cell, Sequence[Cost]]) -> Table:
    """Lay out what was measured."""
    from bicameral.tables import Table, columns, row
    from server.bench.cost import median_of

    return Table(
        title="processor time per request over that of the same answer without a server",
        columns=columns(
            *("server", "model", "requests", "clients", "x answer", "range", "us/request"),
            *("us/answer", "req/s", "p50 ms", "p99 ms", "failed"),
            words=3,
        ),
        rows=tuple(
            row(
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
        note="median and range over the passes; n is what the loads of all passes had answered: "
        f"{sum(one.answered for passes in costs.values() for one in passes):,}",
    )
