"""What a server tells about itself and its models, as the protocol's JSON objects.

Beside the protocol: https://github.com/kserve/open-inference-protocol, the extensions
``model_configuration``, ``model_repository`` and ``statistics`` of Triton Inference Server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from server.metrics import ModelTotals
from server.open_inference.datatypes import V2Spec
from server.serving.served_model import MemoryFigures, ModelVersion, ServedModel

EXTENSIONS: Final = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
)


def model_metadata(model: ServedModel, versions: Sequence[str]) -> dict[str, Any]:
    """Return a model's tensors.

    Args:
        model: The model.
        versions: All versions of its name that answer.
    """
    return {
        "name": model.name,
        "versions": versions,
        "platform": model.platform,
        "inputs": model.inputs,
        "outputs": model.outputs,
    }


def model_configuration(model: ServedModel) -> dict[str, Any]:
    """Return a model's configuration in Triton's terms.

    ``max_batch_size`` is 0, which says that the shapes are complete: -1 as the first size is where
    the rows are counted.
    """
    return {
        "name": model.name,
        "platform": model.platform,
        "max_batch_size": 0,
        "input": [_configured_tensor(spec) for spec in model.inputs],
        "output": [_configured_tensor(spec) for spec in model.outputs],
    }


def model_statistics(
    version: ModelVersion,
    totals: ModelTotals | None,
    loaded: tuple[ServedModel, MemoryFigures] | None,
) -> dict[str, Any]:
    """Return what a model did since the server started.

    ``compute_infer`` counts runs, which several requests may share. ``compute_input`` and
    ``compute_output`` count the successful requests for which something was computed: from the body
    to tensors, pictures and any wait for their decoder included, and from what was computed to the
    answer. ``requests`` counts by outcome, of which ``success`` and all others together are
    Triton's ``success`` and ``fail``. For a model that is loaded, ``concurrency`` and ``memory``
    are those of the process that answers.

    Args:
        version: Name and version.
        totals: What all processes counted; None: it has not answered yet.
        loaded: The model and the memory it takes; None: it is not loaded.
    """
    statistics: dict[str, Any] = {"name": version.name, "version": version.version}
    statistics |= _NOTHING_COUNTED if totals is None else _counted(totals)
    if loaded is not None:
        model, memory = loaded
        statistics["concurrency"] = asdict(model.concurrency())
        statistics["memory"] = asdict(memory)
    return statistics


def _configured_tensor(spec: V2Spec) -> dict[str, Any]:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": spec.shape}


def _counted(totals: ModelTotals) -> dict[str, Any]:
    success = totals.requests.get("success", 0)
    succeeded_s = totals.seconds.get("success", 0.0)
    failed_s = sum(totals.seconds.values()) - succeeded_s
    inference: dict[str, Any] = {
        "success": _duration(success, succeeded_s),
        "fail": _duration(sum(totals.requests.values()) - success, failed_s),
        "queue": _duration(totals.queued, totals.queue_s),
        "compute_input": _duration(totals.computed, totals.input_s),
        "compute_infer": _duration(totals.runs, totals.compute_s),
        "compute_output": _duration(totals.computed, totals.output_s),
    }
    statistics: dict[str, Any] = {
        "inference_count": totals.rows,
        "execution_count": totals.runs,
        "inference_stats": inference,
        "batch_stats": [
            {"batch_size": rows, "compute_infer": _duration(runs, seconds)}
            for rows, (runs, seconds) in totals.batches.items()
        ],
        "requests": dict(totals.requests),
        "request_ns": round(totals.request_s * 1e9),
    }
    if totals.stages:
        statistics["stages"] = dict(totals.stages)
    if totals.memory is not None:
        inference["cache_hit"] = {"count": totals.memory.hits}
        inference["cache_miss"] = {"count": totals.memory.lookups - totals.memory.hits}
        statistics["result_memory"] = asdict(totals.memory)
    return statistics


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}


_NOTHING_COUNTED: Final = _counted(ModelTotals())
