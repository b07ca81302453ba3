"""`bicameral classify`: ask a classifier or a cascade about pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bicameral.errors import FINDINGS_EXIT_CODE, ConfigError, DataError
from bicameral.protocols import ClassifierSession
from bicameral.tables import DASH, Column, print_table, table_of
from bicameral.types import Prediction
from edge.loading import load_classifier
from edge.masked_classifier import MaskedClassifier
from edge.pictures import read_picture, read_picture_with_opacity


def classify(
    images: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    model: str = "fashion_mnist_cascade",
    top_k: int = 1,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Classify pictures, and show who decided and how sure it was.

    Pictures may be JPEG, PNG, WebP or BMP of any size, depth and orientation. One that cannot be
    used is reported and the others are answered; the exit code is then 1. A cascade's result memory
    starts empty, so that it answers pictures that are given twice. What is transparent of a picture
    counts as not observed for models that fill it in (`train classifier monotone_boltzmann`).

    Args:
        images: Picture files.
        model: Name of a shipped model, or path of a model or its sidecar.
        top_k: How many classes to show for each picture.
        as_json: Print one JSON object per line instead of a table.
    """
    if top_k < 1:
        raise ConfigError(f"--top-k is {top_k}, expected at least 1")
    classifier = load_classifier(model)
    rows: list[dict[str, Any]] = []
    for path in images:
        try:
            # One by one, so that a picture given twice is found in the memory.
            prediction = _predict(classifier, path)
        except DataError as error:
            sys.stderr.write(f"error: {error}\n")
            continue
        rows.append({"picture": str(path), **_answer(classifier, prediction, top_k)})
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row) + "\n")
    elif rows:
        _print_table(f"{classifier.info.name}, version {classifier.info.version}", rows)
    if not rows:
        raise DataError(f"none of the {len(images)} pictures could be classified")
    return 0 if len(rows) == len(images) else FINDINGS_EXIT_CODE


def _predict(classifier: ClassifierSession, path: Path) -> Prediction:
    """Classify a file; what is transparent was not observed, for a classifier that fills it in."""
    if not isinstance(classifier, MaskedClassifier):
        return classifier.predict(classifier.prepare([read_picture(path, classifier.info.image)]))
    picture, opacity = read_picture_with_opacity(path, classifier.info.image)
    observed = classifier.observed(opacity)
    return classifier.predict_masked(classifier.prepare([picture]), observed[None])[0]


def _answer(classifier: ClassifierSession, prediction: Prediction, top_k: int) -> dict[str, Any]:
    probabilities = prediction.probabilities[0]
    best = probabilities.argsort(kind="stable")[::-1][:top_k]
    return {
        "label": classifier.info.labels[best[0]],
        "confidence": float(prediction.confidence[0]),
        "top": [
            {"label": classifier.info.labels[index], "probability": float(probabilities[index])}
            for index in best
        ],
        "trace": None if prediction.trace is None else prediction.trace[0]._asdict(),
    }


def _decided_by(stage: str) -> str:
    """Name all networks up to the last that was asked; blocks and the memory by their own name."""
    if len(stage) > 1:
        return stage
    return " and ".join(chr(letter) for letter in range(ord("A"), ord(stage.upper()) + 1))


def _print_table(title: str, answers: list[dict[str, Any]]) -> None:
    rows = []
    for answer in answers:
        trace = answer["trace"]
        stage, score, time = DASH, DASH, DASH
        if trace is not None:
            stage = _decided_by(trace["stage"])
            if trace["confidence_a"] is not None:
                score = f"{trace['confidence_a']:.3f}"
            time = f"{1e6 * sum(trace['stage_times_s'].values()):.0f} µs"
        label = answer["label"]
        if len(answer["top"]) > 1:
            label = "\n".join(
                f"{entry['label']} {100 * entry['probability']:.1f} %" for entry in answer["top"]
            )
        rows.append((answer["picture"], label, f"{answer['confidence']:.3f}", stage, score, time))
    decided = Column(label="decided by", words=True)
    heads = ("picture", "label", "confidence", decided, "A's score", "time")
    print_table(table_of(title, heads, rows, words=2))
