"""`bicameral describe`: what a graph wants, and a sidecar for one that classifies pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bicameral.cli.extras import require_extra
from bicameral.errors import ConfigError, DataError
from bicameral.tables import print_table, table_of
from edge.description import (
    DESCRIBED,
    USUAL_PICTURE,
    GraphDescription,
    PictureOptions,
    describe_classifier,
    describe_graph,
    described_place,
)
from edge.session import open_model
from edge.sidecar import Calibration, Sidecar, read_sidecar, write_sidecar
from edge.subject import GraphSubject, answer_all
from models.calibration import calibration_errors, fit_temperature
from models.samples import load_samples

#: Longer notes of a graph are cut off.
_SHOWN = 60


def describe(
    model: Path,
    /,
    *,
    image: bool = False,
    labels: Path | None = None,
    pictures: Annotated[PictureOptions, Parameter(name="*", consume_multiple=True)] = USUAL_PICTURE,
    temperature_from: str | None = None,
) -> int:
    """Show what an ONNX file takes and gives, and write a sidecar for a picture classifier.

    With --image the graph is asked about noise, and NAME.bicameral.json is written beside it:
    serve, classify, compare and export then take it like a model of this project.

    Args:
        model: The ONNX file.
        image: Write the sidecar of a picture classifier; any of the flags below means it, too.
        labels: Text file with the names of the classes, one a line, in the order of the scores; by
            default those that the graph has, else numbers.
        pictures: How they become the graph's tensor.
        temperature_from: Data set or folder with the same classes, on whose validation part the
            temperature of the scores is fitted.
    """
    require_extra("export")

    graph = describe_graph(model)
    _print_graph(model, graph)
    told = labels is not None or pictures != USUAL_PICTURE or temperature_from is not None
    if not image and not told:
        sys.stdout.write(
            f"bicameral serve {model.parent} answers for it as it is. If it classifies pictures, "
            "bicameral describe --image writes its sidecar.\n"
        )
        return 0
    *_, place = described_place(model)
    if place.exists() and read_sidecar(place).training.command != DESCRIBED:
        raise ConfigError(
            f"{place} is there, and somebody else wrote it; remove it to have another written"
        )
    names = None if labels is None else _read_labels(labels)
    sidecar = describe_classifier(model, graph, pictures, names)
    if temperature_from is not None:
        sidecar = _calibrated(model, sidecar, temperature_from)
    write_sidecar(place, sidecar)
    _print_sidecar(place, sidecar)
    return 0


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the labels {path}: {error}") from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise DataError(f"{path} has no labels, expected one a line")
    return labels


def _calibrated(model: Path, sidecar: Sidecar, source: str) -> Sidecar:
    """Return the sidecar with a temperature that was fitted on a data set's validation part."""
    (output,) = sidecar.outputs
    if output.meaning != "logits":
        raise ConfigError(
            f"{model.name} ends in probabilities, which a temperature no longer changes; export it "
            "without its softmax, or leave out --temperature-from"
        )
    samples = load_samples(sidecar, source, "validation")
    if samples.labels is None:
        raise DataError(
            f"{samples.description} have no classes, from which a temperature is fitted"
        )
    session = open_model(model, sidecar)
    subject = GraphSubject(title=sidecar.name, precision="fp32", sidecar=sidecar, session=session)
    values = answer_all(subject, samples)[output.name]
    subject.close()
    logits = values.reshape(len(values), -1)
    temperature = fit_temperature(logits, samples.labels)
    before, after = calibration_errors(logits, samples.labels, temperature)
    accuracy = float((logits.argmax(axis=1) == samples.labels).mean())
    sys.stdout.write(
        f"on {samples.description}: accuracy {100 * accuracy:.1f} %, temperature "
        f"{temperature:.3f}, calibration error {before:.3f} before and {after:.3f} after\n"
    )
    calibration = Calibration(
        temperature=temperature, split="validation", n=len(samples), ece=after
    )
    return sidecar.model_copy(update={"calibration": calibration})


def _print_graph(path: Path, graph: GraphDescription) -> None:
    rows = [
        (verb, one.name, one.dtype.replace("object", "string"), _shape(one.shape))
        for verb, specs in (("takes", graph.inputs), ("gives", graph.outputs))
        for one in specs
    ]
    title = f"{path.name}: {graph.parameters:,} parameters, opset {graph.opset}"
    print_table(table_of(title, ("", "tensor", "type", "shape"), rows, note="* any size"))
    for key, text in graph.notes.items():
        line = " ".join(text.split())
        sys.stdout.write(f"{key}: {line[:_SHOWN]}{'...' if len(line) > _SHOWN else ''}\n")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join("*" if size < 0 else str(size) for size in shape) or "a number, or any"


def _print_sidecar(path: Path, sidecar: Sidecar) -> None:
    image, (output,) = sidecar.input.image, sidecar.outputs
    shown = ", ".join(sidecar.labels[:8]) + (", ..." if len(sidecar.labels) > 8 else "")
    sys.stdout.write(
        f"pictures: {image.height} x {image.width} {image.color}, (x * {image.scale:.6g} - mean) / "
        f"std with mean {list(image.mean)} and std {list(image.std)}\n"
        f"{output.name}: {output.meaning} of {len(sidecar.labels)} classes: {shown}\n"
        f"wrote {path}\n"
    )
