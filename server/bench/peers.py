"""Other servers of the same models, from environments of their own, to compare with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from bicameral.errors import MachineError
from server.bench.fixtures import TINY
from server.bench.server_under_test import ServerCommand, free_port
from server.bench.verdicts import PEER, PEER_ALONE

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


def mlserver_commands(python: Path, folder: Path, graph: Path) -> Sequence[ServerCommand]:
    """Prepare MLServer, as it is installed and without its worker process, for the tiny network.

    Args:
        python: Interpreter of an environment with mlserver and onnxruntime.
        folder: Where its models are described; empty or absent.
        graph: ONNX file of the network.

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
    shutil.copy(graph, folder)
    settings = {
        "name": TINY,
        "implementation": "onnx_model.OnnxModel",
        "parameters": {"uri": str(folder / graph.name), "version": "1"},
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
        for name, environment in (
            (PEER, {}),
            (PEER_ALONE, {"MLSERVER_PARALLEL_WORKERS": "0"}),
        )
    ]
