"""Requests whose right answers are known, for a server that is watched for wrong ones."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.loading import load_classifier
from edge.preprocessing import tensor_from_canonical
from edge.session import OnnxSession
from edge.shipped import weights_folder
from edge.sidecar import SUFFIX, read_sidecar
from server.bench.cost import CASCADE, LARGE, SMALL, make_pictures, png
from server.bench.requests import binary_request, http_request, picture_request

#: A network that comes and goes.
VISITOR = "fashion_mnist_group_to_group"

_SERVED = (SMALL, LARGE, VISITOR, CASCADE)

#: What rounding may change when requests share a run: absolute and relative.
_TOLERANCE = 1e-4

#: Pictures that are asked about.
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


def copy_models(folder: Path) -> None:
    """Copy the models that are asked: three networks, and a cascade with a memory."""
    folder.mkdir(parents=True)
    cascade = read_sidecar(weights_folder() / f"{CASCADE}{SUFFIX}").cascade
    members = () if cascade is None else (stage.name for stage in cascade.stages)
    for name in (*_SERVED, *members):
        for file in weights_folder().glob(f"{name}.*"):
            shutil.copy(file, folder)


def make_questions(folder: Path) -> list[Question]:
    """Return questions about all models in all forms, with the answers of in-process runs."""
    pictures = make_pictures(_PICTURES)
    questions: list[Question] = []
    for model in (SMALL, LARGE, VISITOR):
        spec = read_sidecar(folder / f"{model}{SUFFIX}").input.image
        inputs = tensor_from_canonical(pictures, spec)
        session = OnnxSession((folder / f"{model}.onnx").read_bytes(), name=model)
        logits = np.concatenate([session.run({"image": one[None]})["logits"] for one in inputs])
        for first in range(_PICTURES):
            rows = slice(first, min(first + 1 + first % 4, _PICTURES))
            questions += _network_questions(model, inputs[rows], logits[rows])
    classifier = load_classifier(folder / f"{SMALL}{SUFFIX}")
    questions += [
        _picture_question(png(picture), expected, classifier.info.labels)
        for picture, expected in zip(
            pictures, classifier.predict(pictures).probabilities, strict=True
        )
    ]
    cascade = load_classifier(folder / f"{CASCADE}{SUFFIX}", memory="none")
    return questions + [
        Question(
            name=f"{CASCADE}, binary",
            request=binary_request(CASCADE, picture[None]),
            fault=_expect_outputs({"probabilities": expected[None]}),
        )
        for picture, expected in zip(pictures, cascade.predict(pictures).probabilities, strict=True)
    ]


def _network_questions(
    model: str, inputs: NDArray[np.float32], logits: NDArray[np.float32]
) -> list[Question]:
    fault = _expect_outputs({"logits": logits})
    binary = binary_request(model, inputs)
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

    return Question(name=f"{SMALL}, picture", request=picture_request(SMALL, picture), fault=fault)


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
