"""The cells that are measured, and what they should cost at most."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from server.bench.cost import Bench, Cell, Cost, Progress, measure_costs
from server.bench.fixtures import (
    LARGE,
    PAIR,
    REMEMBERING_PAIR,
    RESIDUAL,
    SMALL,
    TINY,
    encoded_pictures,
    make_pictures,
    network_inputs,
    with_noise,
    write_network,
    write_pair,
)
from server.bench.load import load_process
from server.bench.peers import mlserver_commands
from server.bench.reference import CascadeReference, NetworkReference, Reference
from server.bench.requests import binary_infer_request, classify_request, json_infer_request
from server.bench.server_under_test import ServerCommand, running_server
from server.bench.verdicts import (
    BINARY,
    JSON,
    OURS,
    PICTURE,
    SIMILAR,
    UNBATCHED,
    Verdict,
    verdicts_on,
)

#: Loads of the tiny network and of the others, in seconds.
_SHORT_S, _LONG_S = 1.5, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSettings:
    """What to measure.

    Attributes:
        command: Words that start this server, e.g. ``bicameral serve``; a folder and flags follow.
        peer_python: Interpreter of an environment with MLServer; None: without a peer.
        passes: Passes over all cells.
        time_scale: Multiplies the length of every load.
    """

    command: Sequence[str]
    peer_python: Path | None = None
    passes: int = 3
    time_scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """All costs, and what they should be.

    Attributes:
        costs: One for each cell.
        verdicts: One for each limit.
        escalated_share: Share of the pictures about which the pair asks its second network.
    """

    costs: Sequence[Cost]
    verdicts: Sequence[Verdict]
    escalated_share: float


def run_suite(settings: SuiteSettings, folder: Path, progress: Progress) -> SuiteResult:
    """Make models, start servers, measure, and compare with the limits.

    Args:
        settings: What to measure.
        folder: For models and logs; empty.
        progress: Told (done, total, what comes next).

    Raises:
        MachineError: If a server does not start, or the peer is not there.
    """
    models = folder / "models"
    small, large = make_pictures(SMALL), make_pictures(LARGE)
    graphs = {
        name: write_network(models, name).with_name(f"{name}.onnx") for name in (TINY, RESIDUAL)
    }
    pair = write_pair(models, large)
    write_pair(models, large, REMEMBERING_PAIR)
    cascade = CascadeReference(pair, large)
    references: dict[str, Reference] = {
        TINY: NetworkReference(graphs[TINY], network_inputs(small)),
        RESIDUAL: NetworkReference(graphs[RESIDUAL], network_inputs(large)),
        PAIR: cascade,
    }
    commands = [
        _ours(OURS, settings, models),
        _ours(UNBATCHED, settings, models, "--batching.max-rows=1"),
    ]
    if settings.peer_python is not None:
        commands += mlserver_commands(settings.peer_python, folder / "peer", graphs[TINY])
    cells = _cells([command.name for command in commands[2:]], settings.time_scale)
    with ExitStack() as stack:
        loads = stack.enter_context(load_process())
        servers = {
            command.name: stack.enter_context(
                running_server(command, folder / f"server-{number}.log")
            )
            for number, command in enumerate(commands)
        }
        bench = Bench(servers=servers, references=references, loads=loads)
        costs = measure_costs(bench, cells, passes=settings.passes, progress=progress)
    return SuiteResult(
        costs=costs, verdicts=verdicts_on(costs), escalated_share=cascade.escalated_share
    )


def _ours(name: str, settings: SuiteSettings, models: Path, *flags: str) -> ServerCommand:
    words = [*settings.command, str(models), "--port={port}", "--workers=1", *flags]
    return ServerCommand(name=name, words=words)


def _cells(peers: Sequence[str], time_scale: float) -> list[Cell]:
    requests = _requests()

    def cell(server: str, model: str, form: str, connections: int) -> Cell:
        return Cell(
            server=server,
            model=model,
            form=form,
            connections=connections,
            requests=requests[model, form],
            reference=PAIR if model == REMEMBERING_PAIR else model,
            duration_s=time_scale * (_SHORT_S if model in (TINY, REMEMBERING_PAIR) else _LONG_S),
        )

    def network_cells(model: str) -> list[Cell]:
        forms_and_counts = itertools.product((BINARY, JSON, PICTURE), (1, 8, 32))
        ours = [cell(OURS, model, form, count) for form, count in forms_and_counts]
        return [*ours, cell(UNBATCHED, model, BINARY, 32)]

    return [
        *network_cells(TINY),
        *(cell(peer, TINY, JSON, 8) for peer in peers),
        *network_cells(RESIDUAL),
        *(cell(OURS, PAIR, BINARY, count) for count in (1, 8)),
        # The similar pictures find the others, which were sent before.
        *(cell(OURS, REMEMBERING_PAIR, form, 8) for form in (BINARY, SIMILAR)),
    ]


def _requests() -> dict[tuple[str, str], list[bytes]]:
    """Return the requests of every model and form."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for model, size in ((TINY, SMALL), (RESIDUAL, LARGE)):
        pictures = make_pictures(size)
        tensors = network_inputs(pictures)
        found[model, BINARY] = [binary_infer_request(model, tensor[None]) for tensor in tensors]
        found[model, JSON] = [json_infer_request(model, tensor[None]) for tensor in tensors]
        found[model, PICTURE] = [classify_request(model, one) for one in encoded_pictures(pictures)]
    large = make_pictures(LARGE)
    for model, form, pictures in (
        (PAIR, BINARY, large),
        (REMEMBERING_PAIR, BINARY, large),
        (REMEMBERING_PAIR, SIMILAR, with_noise(large)),
    ):
        found[model, form] = [binary_infer_request(model, picture[None]) for picture in pictures]
    return found
