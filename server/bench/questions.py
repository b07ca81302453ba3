"""Requests whose right answers are known, for a server that is watched for wrong ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.loading import load_classifier
from server.bench.fixtures import (
    LARGE,
    REMEMBERING_PAIR,
    RESIDUAL,
    SMALL,
    TINY,
    encoded_pictures,
    make_pictures,
    network_inputs,
    write_network,
    write_pair,
)
from server.bench.reference import run_network
from server.bench.requests import binary_infer_request, classify_request, http_request

#: A copy of the tiny network that comes and goes.
VISITOR = "visitor"

#: What rounding may change when requests share a run: absolute and relative.
_TOLERANCE = 1e-4

#: Pictures of each size that are asked about.
_PICTURES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request and its answer.

    Attributes:
        name: Model and form, for reports.
        request: The whole request.
        fault: Says what is wrong with a body of status 200; None: nothing.
        may_be_absent: Whether the model may be unloaded, so that 404 and 503 are right, too.
    """

    name: str
    request: bytes
    fault: Callable[[bytes], str | None]
    may_be_absent: bool = False


def write_models(folder: Path) -> None:
    """Write the models that are asked: two networks, a cascade with a memory, and a visitor."""
    for name in (TINY, RESIDUAL):
        write_network(folder, name)
    write_network(folder, TINY, served_as=VISITOR)
    write_pair(folder, make_pictures(LARGE), REMEMBERING_PAIR)


def make_questions(folder: Path) -> list[Question]:
    """Return questions about all models in all forms, with the answers of in-process runs."""
    small, large = make_pictures(SMALL, _PICTURES), make_pictures(LARGE, _PICTURES)
    questions: list[Question] = []
    for model, pictures in ((TINY, small), (VISITOR, small), (RESIDUAL, large)):
        graph = folder / model / "1" / f"{model}.onnx"
        inputs = network_inputs(pictures)
        logits = run_network(graph, inputs)
        for first in range(_PICTURES):
            rows = slice(first, min(first + 1 + first % 4, _PICTURES))
            questions += _network_questions(model, inputs[rows], logits[rows])
    classifier = load_classifier(folder / TINY / "1" / f"{TINY}.bicameral.json")
    # A JPEG is not the picture that it was made of; a PNG is.
    probabilities = classifier.predict(small).probabilities
    questions += [
        _picture_question(picture, expected, classifier.info.labels)
        for picture, expected in zip(encoded_pictures(small), probabilities, strict=True)
    ]
    pair = load_classifier(
        folder / REMEMBERING_PAIR / "1" / f"{REMEMBERING_PAIR}.bicameral.json", memory="none"
    )
    questions += [
        Question(
            name=f"{REMEMBERING_PAIR}, binary",
            request=binary_infer_request(REMEMBERING_PAIR, picture[None]),
            fault=_expect_outputs({"probabilities": expected[None]}),
        )
        for picture, expected in zip(large, pair.predict(large).probabilities, strict=True)
    ]
    return questions


def _network_questions(
    model: str, inputs: NDArray[np.float32], logits: NDArray[np.float32]
) -> list[Question]:
    fault = _expect_outputs({"logits": logits})
    binary = binary_infer_request(model, inputs)
    body = {
        "inputs": [
            {
                "name": "image",
                "shape": list(inputs.shape),
                "datatype": "FP32",
                "data": inputs.ravel().tolist(),
            }
        ]
    }
    in_json = json.dumps(body).encode()
    path = f"/v2/models/{model}/infer"
    forms = {
        "binary": binary,
        "JSON": http_request(path, in_json, {}),
        "gzip": http_request(path, gzip.compress(in_json, 1), {"Content-Encoding": "gzip"}),
    }
    if model == RESIDUAL:
        del forms["gzip"]  # megabytes of text, for the same way through the server
    return [
        Question(
            name=f"{model}, {form}",
            request=request,
            fault=fault,
            may_be_absent=model == VISITOR,
        )
        for form, request in forms.items()
    ]


def _picture_question(
    picture: bytes, expected: NDArray[np.float32], labels: Sequence[str]
) -> Question:
    def fault(body: bytes) -> str | None:
        (result,) = json.loads(body)["results"]
        wanted = labels[int(expected.argmax())], float(expected.max())
        if result["label"] == wanted[0] and abs(result["confidence"] - wanted[1]) <= _TOLERANCE:
            return None
        return f"{result['label']} at {result['confidence']}, expected {wanted}"

    return Question(name=f"{TINY}, picture", request=classify_request(TINY, picture), fault=fault)


def _expect_outputs(
    expected: Mapping[str, NDArray[np.float32]],
) -> Callable[[bytes], str | None]:
    def fault(body: bytes) -> str | None:
        found = infer_outputs(body)
        for name, values in expected.items():
            if name not in found or found[name].shape != values.shape:
                return f"outputs {found.keys()}, expected {name} of shape {values.shape}"
            if not np.allclose(found[name], values, rtol=_TOLERANCE, atol=_TOLERANCE):
                farthest = float(np.abs(found[name] - values).max())
                return f"{name} is wrong by up to {farthest}"
        return None

    return fault


def infer_outputs(body: bytes) -> dict[str, NDArray[Any]]:
    """Return the float tensors of an answer of the Open Inference Protocol."""
    # Binary tensors follow the JSON, whose end is where it closes.
    answer, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    found: dict[str, NDArray[Any]] = {}
    for output in answer["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if output["datatype"] == "FP32":
            if size is None:
                values = np.array(output["data"], np.float32)
            else:
                values = np.frombuffer(body, np.float32, size // 4, end)
            found[output["name"]] = values.reshape(output["shape"])
        end += size or 0
    return found
