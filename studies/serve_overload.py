"""What becomes of requests when there are ten times as many as a server can answer."""

from __future__ import annotations

import json
import time
from concurrent.futures import Executor
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bicameral.cli.bench_server import SERVE_COMMAND
from bicameral.statistics import Estimate
from edge.session import OnnxSession
from edge.shipped import weights_folder
from edge.sidecar import SUFFIX
from server.bench.load import Load, LoadResult, drive, load_process
from server.bench.requests import binary_request
from server.bench.running import RunningServer, ServerCommand, running_server
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

_OVERLOAD = 10.0
#: A load without any queue, for comparison.
_LIGHT = 0.2
#: The server refuses what would wait longer than so many runs: for one that goes on, and a half
#: for what a run takes longer than usual.
_WAIT_RUNS = 1.5

_MOST_P99_RATIO = 3.0
_MOST_REFUSAL_S = 0.05

#: Subject and condition of what all passes together say, and what that is.
ALL = ("all passes", "overload")
RATIO, REFUSALS = "p99 of what was answered by that of a light load", "p99 of refusals"

_MODEL = "slow"
#: Of the sidecar that the slow network borrows.
_LIKE = "fashion_mnist_squeeze16_distilled"
_CLASSES, _WIDTH, _LAYERS = 10, 64, 10


def run(folder: Path, quick: bool) -> int:
    """Serve a slow network and ask for too much of it, again and again."""
    models = folder / "models"
    run_s = _run_s(write_slow_network(models))
    wait_s = _WAIT_RUNS * run_s
    words = [*SERVE_COMMAND, str(models), "--port={port}", "--workers=1"]
    words.append(f"--batching.max-wait-s={wait_s:.6f}")
    passes, light_s, heavy_s = (1, 1.0, 1.0) if quick else (3, 8.0, 6.0)
    results = []
    with (
        load_process() as loads,
        running_server(ServerCommand(name="server", words=words), folder / "server.log") as server,
    ):
        for _ in range(passes):
            light = _load(server, loads, _LIGHT / run_s, light_s)
            results.append((light, _load(server, loads, _OVERLOAD / run_s, heavy_s)))
    measured = _measured(results) | _summary(results)
    write_measurements(folder / "serve_overload.csv", measured)
    print_measurements(measured, title=f"a network of {1e3 * run_s:.1f} ms a run")
    ratio, refusal_s = (measured[*ALL, name].value or 0.0 for name in (RATIO, REFUSALS))
    other = sum(_other(light, heavy) for light, heavy in results)
    print(f"ratio at most {_MOST_P99_RATIO}, refusals at most {_MOST_REFUSAL_S} s, others: {other}")
    return 0 if ratio <= _MOST_P99_RATIO and refusal_s <= _MOST_REFUSAL_S and other == 0 else 1


STUDY = Study(
    claim="Asked ten times as often as it can answer, a server answers what it accepts within "
    "three times the usual time, and refuses the rest within 50 ms.",
    setting="One worker of a shared AMD EPYC, loaded from the same machine; a network of some 7 ms "
    "a run; medians of 3 passes of 6 s; two minutes.",
    run=run,
)


def write_slow_network(folder: Path) -> Path:
    """Write ten wide convolutions for grey pictures of 28 x 28 pixels, and return the graph.

    290 million multiply-accumulates for a tensor of 3 kB: a request costs next to nothing beside
    its run.
    """
    folder.mkdir(parents=True)
    graph = folder / f"{_MODEL}.onnx"
    graph.write_bytes(_slow_network())
    sidecar = json.loads((weights_folder() / f"{_LIKE}{SUFFIX}").read_text("utf-8"))
    sidecar["name"] = _MODEL
    sidecar["outputs"] = [one for one in sidecar["outputs"] if one["meaning"] == "logits"]
    for file in sidecar["files"]:
        file["path"] = graph.name
        file["sha256"] = sha256(graph.read_bytes()).hexdigest()
        file["bytes"] = graph.stat().st_size
    (folder / f"{_MODEL}{SUFFIX}").write_text(json.dumps(sidecar), "utf-8")
    return graph


def _slow_network() -> bytes:
    rng = np.random.default_rng(4)
    weights, nodes, x, given = [], [], "image", 1

    def constant(name: str, *shape: int) -> str:
        values = rng.normal(0.0, (2.0 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    for layer in range(_LAYERS + 1):
        kernel = constant(f"kernel_{layer}", _WIDTH, given, 3, 3)
        nodes.append(helper.make_node("Conv", [x, kernel], [f"conv_{layer}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"conv_{layer}"], [f"relu_{layer}"]))
        x, given = f"relu_{layer}", _WIDTH
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(
        helper.make_node("MatMul", ["flat", constant("dense", _WIDTH, _CLASSES)], ["logits"])
    )
    graph = helper.make_graph(
        nodes,
        _MODEL,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", _CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((16, 1, 1, 28, 28), np.float32)


def _load(
    server: RunningServer, loads: Executor, rate_per_s: float, duration_s: float
) -> LoadResult:
    load = Load(
        port=server.port,
        requests=[binary_request(_MODEL, image) for image in _images()],
        rate_per_s=rate_per_s,
        duration_s=duration_s,
    )
    return loads.submit(drive, load).result()


def _other(light: LoadResult, heavy: LoadResult) -> int:
    return sum(one.failed - one.statuses.get(429, 0) for one in (light, heavy))


def _measured(results: list[tuple[LoadResult, LoadResult]]) -> Measured:
    measured: Measured = {}
    for number, loads in enumerate(results, 1):
        for condition, result in zip(("light load", "overload"), loads, strict=True):
            for status, quantity in ((200, "p99 of what was answered"), (429, "p99 of refusals")):
                measured[f"pass {number}", condition, quantity] = single(
                    result.latency_s(0.99, status), "s", result.statuses.get(status, 0)
                )
    return measured


def _summary(results: list[tuple[LoadResult, LoadResult]]) -> Measured:
    """Return medians over the passes, with the range of the ratio, and what was counted."""
    ratios = [heavy.latency_s(0.99) / light.latency_s(0.99) for light, heavy in results]
    refusals_s = [heavy.latency_s(0.99, 429) for _, heavy in results]
    measured: Measured = {
        (*ALL, RATIO): Estimate(
            value=median(ratios), low=min(ratios), high=max(ratios), n=len(ratios)
        ),
        (*ALL, REFUSALS): single(median(refusals_s), "s", len(refusals_s)),
    }
    for status, quantity in ((200, "answered"), (429, "refused")):
        count = sum(heavy.statuses.get(status, 0) for _, heavy in results)
        measured[*ALL, quantity] = single(count)
    return measured


def _run_s(graph: Path) -> float:
    """Return the median time of a run, on the wall clock, which is what capacity depends on."""
    session = OnnxSession(graph.read_bytes(), name=_MODEL)
    image = _images()[0]
    times_s = []
    for _ in range(30):
        begin_s = time.perf_counter()
        session.run({"image": image})
        times_s.append(time.perf_counter() - begin_s)
    return median(times_s)
