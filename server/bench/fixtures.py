"""A folder of models to serve, and pictures to send: all of it made from seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.loading import load_classifier, member_sha256
from edge.probabilities import SCORES, ScoreName
from edge.sidecar import SUFFIX, Sidecar, read_sidecar, write_sidecar
from server.bench.graphs import mobile_network, residual_network, slow_network, tiny_network

#: Different pictures of each size; every fourth of them escalates in the pair.
PICTURES = 64
ESCALATED_SHARE = 0.25

#: Names of the models.
TINY, SLOW = "tiny", "slow"
RESIDUAL, MOBILE = "residual", "mobile"
PAIR, REMEMBERING_PAIR = "pair", "remembering_pair"

_SCORE: ScoreName = "margin"


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSize:
    """Size of canonical images, and the number of classes of the networks that see them."""

    side_px: int
    channels: int
    classes: int

    @property
    def image(self) -> dict[str, Any]:
        """The sidecar's block ``image``."""
        return {
            "height": self.side_px,
            "width": self.side_px,
            "color": "GRAY" if self.channels == 1 else "RGB",
            "scale": 1 / 255,
            "mean": [0.0] * self.channels,
            "std": [1.0] * self.channels,
        }


SMALL = PictureSize(side_px=28, channels=1, classes=10)
LARGE = PictureSize(side_px=160, channels=3, classes=100)

SIZES = {TINY: SMALL, SLOW: SMALL, RESIDUAL: LARGE, MOBILE: LARGE, PAIR: LARGE}


def write_network(folder: Path, network: str, *, served_as: str | None = None) -> Path:
    """Write a network with its sidecar into a folder of its own, `folder` / name / 1.

    Args:
        folder: The repository of models.
        network: `TINY`, `SLOW`, `RESIDUAL` or `MOBILE`.
        served_as: Name under which it is served; by default its own.

    Returns:
        Path of the sidecar.
    """
    name = served_as or network
    home = folder / name / "1"
    home.mkdir(parents=True)
    return _write_network(home, network, name)


def write_pair(folder: Path, pictures: NDArray[np.uint8], name: str = PAIR) -> Path:
    """Write the cascade of the residual and the mobile network.

    Args:
        folder: The repository of models.
        pictures: (N, 160, 160, 3) uint8; a quarter of them will be less sure than the threshold.
        name: `PAIR`, or `REMEMBERING_PAIR` for one with a result memory that keeps everything.

    Returns:
        Path of its sidecar.
    """
    home = folder / name / "1"
    home.mkdir(parents=True)
    members = [_write_network(home, member, member) for member in (RESIDUAL, MOBILE)]
    first = load_classifier(members[0])
    sureness = np.sort(SCORES[_SCORE](first.predict(pictures).probabilities))
    first.close()
    escalated = round(ESCALATED_SHARE * len(sureness))
    fields = _sidecar_fields("cascade", name, LARGE)
    fields["cascade"] = {
        "a": {"name": RESIDUAL, "sha256": member_sha256(read_sidecar(members[0]))},
        "b": {"name": MOBILE, "sha256": member_sha256(read_sidecar(members[1]))},
        "score": _SCORE,
        "threshold": float(sureness[escalated - 1 : escalated + 1].mean()),
        "combine": "average",
        "memory": None,
    }
    if name == REMEMBERING_PAIR:
        fields["cascade"]["memory"] = {
            "key": "dhash_verified",
            "tolerance_mae_u8": 4.0,
            "max_entries": 10_000,
            "max_age_s": None,
            "store_min_confidence": 0.0,
        }
    path = home / f"{name}{SUFFIX}"
    write_sidecar(path, Sidecar.model_validate(fields))
    return path


def make_pictures(size: PictureSize, count: int = PICTURES) -> NDArray[np.uint8]:
    """Return canonical images (count, side, side, channels) uint8: noisy waves, each its own.

    The waves are as long as the things on a picture are large, so a result memory can tell them.
    """
    rng = np.random.default_rng(size.side_px)
    rows, columns = np.mgrid[0.0 : size.side_px, 0.0 : size.side_px]
    pictures = np.empty((count, size.side_px, size.side_px, size.channels), np.uint8)
    for picture in pictures:
        for channel in range(size.channels):
            along_rows, along_columns = rng.uniform(-10.0, 10.0, 2) / size.side_px
            wave = np.sin(along_rows * rows + along_columns * columns + rng.uniform(0, 6.28))
            level, swing, noise = rng.uniform(60, 190), rng.uniform(30, 60), rng.uniform(2, 25)
            values = level + swing * wave + rng.normal(0, noise, wave.shape)
            picture[..., channel] = np.clip(values, 0, 255)
    return pictures


def with_noise(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the same pictures with noise of up to two grey levels, as a camera would add."""
    noise = np.random.default_rng(0).integers(-2, 3, pictures.shape)
    return np.asarray(np.clip(pictures + noise, 0, 255), np.uint8)


def encoded_pictures(pictures: NDArray[np.uint8]) -> list[bytes]:
    """Encode pictures as cameras and people send them: grey ones as PNG, colour ones as JPEG."""
    ending = ".png" if pictures.shape[-1] == 1 else ".jpg"
    return [bytes(cv2.imencode(ending, picture[..., ::-1])[1]) for picture in pictures]


def network_inputs(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the networks take: (N, C, H, W) float32, 0..1."""
    values = pictures.transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray(values / np.float32(255))


def _write_network(home: Path, network: str, name: str) -> Path:
    size = SIZES[network]
    graph = _graph(network)
    (home / f"{name}.onnx").write_bytes(graph)
    fields = _sidecar_fields("classifier", name, size)
    fields["files"] = [
        {
            "path": f"{name}.onnx",
            "sha256": hashlib.sha256(graph).hexdigest(),
            "bytes": len(graph),
            "target": "onnxruntime",
            "precision": "fp32",
            "opset": 13,
        }
    ]
    path = home / f"{name}{SUFFIX}"
    write_sidecar(path, Sidecar.model_validate(fields))
    return path


def _graph(name: str) -> bytes:
    size = SIZES[name]
    if name == TINY:
        return tiny_network(size.classes)
    if name == SLOW:
        return slow_network(size.classes)
    make = residual_network if name == RESIDUAL else mobile_network
    return make(size.classes, size.side_px)


def _sidecar_fields(kind: str, name: str, size: PictureSize) -> dict[str, Any]:
    labels: Sequence[str] = [f"class {index}" for index in range(size.classes)]
    meaning = "probabilities" if kind == "cascade" else "logits"
    return {
        "kind": kind,
        "name": name,
        "version": "1",
        "files": [],
        "input": {
            "name": "image",
            "layout": "NCHW",
            "dtype": "FP32",
            "shape": [-1, size.channels, size.side_px, size.side_px],
            "image": size.image,
        },
        "outputs": [{"name": meaning, "meaning": meaning, "shape": [-1, size.classes]}],
        "labels": labels,
        "task": {"orientation_sensitive": False},
        "calibration": {"temperature": 1.0, "split": "none", "n": 0, "ece": 0.0},
        "cost": {"macs": 0, "parameters": 0, "cpu_us": 0.0, "host": ""},
        "training": {
            "command": "none: the weights are random",
            "data": {"name": "none", "sha256": ""},
            "split": "none",
            "seed": 0,
        },
        "license": "Apache-2.0",
        "limits": "untrained; it only costs what a trained network costs",
    }
