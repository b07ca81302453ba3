"""What a request costs this server, and what it costs MLServer, beside the network that answers.

The peer needs an environment of its own, named by BICAMERAL_PEER_PYTHON: MLServer pins libraries
that this project does not. Without one only this server is measured.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from bicameral.cli.bench_server import SERVE_COMMAND, cost_table
from bicameral.errors import MachineError
from bicameral.tables import print_table
from edge.shipped import weights_folder
from server.bench.cost import (
    BINARY,
    CASCADE,
    JSON,
    LARGE,
    PICTURE,
    SMALL,
    Cell,
    Cost,
    measure_costs,
    median_of,
    shipped_cells,
)
from server.bench.load import load_process
from server.bench.running import ServerCommand, free_port, running_servers
from studies.measurements import write_rows
from studies.study import Study

OURS, UNBATCHED, REMEMBERING = "bicameral", "bicameral, unbatched", "bicameral, with memory"
#: MLServer as it is installed, and without the process in which it then runs its models.
PEER, PEER_ALONE = "MLServer", "MLServer, one process"
PEER_PYTHON = "BICAMERAL_PEER_PYTHON"

#: Request over answer at 8 clients, at most.
_LIMITS = {
    (SMALL, BINARY): 4.0,
    (SMALL, JSON): 10.0,
    (SMALL, PICTURE): 10.0,
    (LARGE, BINARY): 1.4,
    (LARGE, JSON): 1.6,
    (LARGE, PICTURE): 1.6,
    (CASCADE, BINARY): 3.0,
}

#: Ours over the peer's, at most.
_PEER_SHARE = 1 / 6

#: MLServer has no runtime for ONNX of its own; this is the shortest one, on one thread as here.
_RUNTIME = '''"""Serves an ONNX graph with MLServer."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxModel(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload):
        image = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        logits = self._session.run(None, {"image": image})[0]
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output("logits", logits)],
        )
'''


def run(folder: Path, quick: bool) -> int:
    """Measure all cells, and compare with the limits."""
    commands = [_ours(OURS, "--no-remember"), _ours(REMEMBERING)]
    cells = shipped_cells(OURS, REMEMBERING, (8,) if quick else (1, 8, 32))
    if quick:
        cells = [cell for cell in cells if cell.model != LARGE]
    else:
        commands.append(_ours(UNBATCHED, "--no-remember", "--batching.max-rows=1"))
        cells += [_cell(UNBATCHED, model, BINARY, 32) for model in (SMALL, LARGE)]
    if PEER_PYTHON in os.environ:
        peers = mlserver_commands(Path(os.environ[PEER_PYTHON]), folder / "peer")
        commands += peers
        cells += [_cell(command.name, SMALL, JSON, 8) for command in peers]
    with load_process() as loads, running_servers(commands, folder) as servers:
        plan = (1, 0.1) if quick else (3, 2.0)
        costs = measure_costs(servers, loads, cells, plan, lambda *_: None)
    print_table(cost_table(costs))
    claims = claims_on(costs)
    write_rows(folder / "serve_cost.csv", ("figure", "measured", "at most"), claims)
    return int(any(value > limit for _, value, limit in claims))


STUDY = Study(
    claim="At 8 clients a request costs the server at most 4 to 10 runs of a small network, 1.4 to "
    "1.6 of a larger one, 3 answers of a cascade, and a sixth of what it costs MLServer.",
    setting="One worker of a shared AMD EPYC, loaded from the same machine; median of 3 "
    "interleaved passes over pictures of seed 0; five minutes.",
    run=run,
    needs=f"for the peer: {PEER_PYTHON}, an interpreter with mlserver and onnxruntime",
)


def claims_on(costs: Mapping[Cell, Sequence[Cost]]) -> list[tuple[str, float, float]]:
    """Return what is claimed, its measured value, and its limit."""

    def ratio(server: str, model: str, form: str, clients: int) -> float | None:
        cell = _cell(server, model, form, clients)
        return median_of(costs[cell], lambda one: one.ratio) if cell in costs else None

    claims = [
        (f"{model}, {form}: request / answer", ratio(OURS, model, form, 8), limit)
        for (model, form), limit in _LIMITS.items()
    ]
    batched, unbatched = (ratio(server, SMALL, BINARY, 32) for server in (OURS, UNBATCHED))
    if batched and unbatched:
        claims.append((f"{SMALL}, 32 clients: batched / unbatched", batched / unbatched, 1.0))
    peer, ours = ratio(PEER, SMALL, JSON, 8), ratio(OURS, SMALL, JSON, 8)
    if peer and ours:
        claims.append((f"{SMALL}, V2 JSON, 8 clients: {OURS} / {PEER}", ours / peer, _PEER_SHARE))
    return [(claim, round(value, 3), limit) for claim, value, limit in claims if value is not None]


def mlserver_commands(python: Path, folder: Path) -> Sequence[ServerCommand]:
    """Prepare MLServer, as it is installed and without its worker process, for the small network.

    Args:
        python: Interpreter of an environment with mlserver and onnxruntime.
        folder: Where its models are described; empty or absent.

    Raises:
        MachineError: If the environment has no MLServer.
    """
    program = python.parent / "mlserver"
    if not program.exists():
        raise MachineError(
            f"there is no MLServer beside {python}, expected {program}; install it there with: "
            f"{python} -m pip install mlserver 'uvloop<0.22' onnxruntime"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "onnx_model.py").write_text(_RUNTIME, "utf-8")
    graph = Path(shutil.copy(weights_folder() / f"{SMALL}.onnx", folder))
    settings = {
        "name": SMALL,
        "implementation": "onnx_model.OnnxModel",
        "parameters": {"uri": str(graph), "version": "1"},
    }
    (folder / "model-settings.json").write_text(json.dumps(settings), "utf-8")
    return [
        ServerCommand(
            name=name,
            words=[str(program), "start", "."],
            folder=folder,
            environment={
                "MLSERVER_HOST": "127.0.0.1",
                "MLSERVER_HTTP_PORT": "{port}",
                "MLSERVER_GRPC_PORT": str(free_port()),
                "MLSERVER_METRICS_PORT": str(free_port()),
                "PYTHONPATH": str(folder),
                **environment,
            },
        )
        for name, environment in ((PEER, {}), (PEER_ALONE, {"MLSERVER_PARALLEL_WORKERS": "0"}))
    ]


def _ours(name: str, *flags: str) -> ServerCommand:
    return ServerCommand(name=name, words=[*SERVE_COMMAND, "--port={port}", "--workers=1", *flags])


def _cell(server: str, model: str, form: str, clients: int) -> Cell:
    return Cell(server=server, model=model, form=form, connections=clients)
