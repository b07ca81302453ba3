#!/usr/bin/env python3
"""Classifiers, cascades and driving agents on a Jetson, in one file.

It comes in a bundle that `bicameral export --bundle` writes. The device needs Python 3.6 or later,
numpy and the TensorRT of its JetPack (8.2 to 11); CUDA is called through ctypes; OpenCV adds
cameras. Begin:

    python3 bicameral_jetson.py doctor            what this device has, and what is missing
    python3 bicameral_jetson.py build             ONNX -> TensorRT engine, on the device itself
    python3 bicameral_jetson.py classify a.png    or: cascade, drive, serve, measure, rollback

Sections 4 to 8 give the same bits as the packages `edge` and `agent`, from which they are carried
over; a test compares them on recorded inputs.
"""

import argparse
import collections
import contextlib
import ctypes
import functools
import hashlib
import http.server
import io
import json
import math
import os
import platform
import re
import socket
import socketserver
import statistics
import string
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

if platform.machine() == "aarch64":
    # OpenBLAS in numpy 1.19.5 mistakes the Nano's cores and dies with "Illegal instruction".
    os.environ.setdefault("OPENBLAS_CORETYPE", "ARMV8")

import numpy as np

Array = Any  # numpy 1.19 has no types for arrays
Json = Dict[str, Any]
MIB = 1 << 20

# ------------------------------------------------------------------------------ 1 errors and files


class JetsonError(Exception):
    """What was given is wrong and can be mended; the message says how."""

    exit_code = 2


class MachineError(JetsonError):
    """The device lacks something."""

    exit_code = 3


class EngineError(MachineError):
    """There is no engine that can be used; trying again changes nothing, building does."""

    exit_code = 4


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it: whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, str(path))
    except BaseException:
        os.unlink(temporary)
        raise


def read_file(path: Path, what: str) -> bytes:
    """Read a file of the bundle."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise JetsonError(f"cannot read the {what} {path}: {error.strerror}") from error


def read_json(path: Path, what: str) -> Json:
    """Read a JSON object of the bundle."""
    try:
        return dict(json.loads(read_file(path, what).decode("utf-8")))
    except (ValueError, TypeError) as error:
        raise JetsonError(f"the {what} {path} is damaged ({error}); copy it again") from error


# -------------------------------------------------------------------------------------- 2 sidecars

#: How a picture becomes the tensor: crop, resize, then `(x * scale - mean) / std`.
ImageSpec = collections.namedtuple(
    "ImageSpec", "height width color crop invert scale mean std aspect"
)


class Sidecar:
    """`NAME.bicameral.json`: everything about a model that is not in its graph."""

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, read_json(path, "sidecar")
        content = self.content
        if content.get("schema") not in (1, 2):
            raise JetsonError(
                f"{path} is of another version; run `bicameral export --bundle` again"
            )
        try:
            self.kind, self.name, self.labels = content["kind"], content["name"], content["labels"]
            self.cascade, self.agent = content["cascade"], content["agent"]
            self.files, self.outputs = content["files"], content["outputs"]
            # The graph that this device runs: one made for a Jetson goes before one for all.
            for_jetson = [one for one in self.files if one["target"].startswith("jetson")]
            self.file = (for_jetson + self.files + [{}])[0]
            self.temperature = float(content["calibration"]["temperature"])
            self.input_name, self.in_graph = content["input"]["name"], content["input"]["in_graph"]
            self.colours_last = content["input"]["layout"] == "NHWC"
            inputs = [content["input"]] + content["extra_inputs"]
            self.input_shapes = {one["name"]: [1] + one["shape"][1:] for one in inputs}
            image = dict({"aspect": "stretch"}, **content["input"]["image"])
            values = (image[field] for field in ImageSpec._fields)
            self.image = ImageSpec(*(tuple(v) if isinstance(v, list) else v for v in values))
        except (KeyError, TypeError, ValueError) as error:
            raise JetsonError(f"{path} is no valid sidecar: {error!r}") from error

    def graph(self) -> bytes:
        """Read the ONNX file and check that it is the one that the sidecar describes."""
        path = self.path.with_name(self.file["path"])
        data = read_file(path, "graph")
        if hashlib.sha256(data).hexdigest() != self.file["sha256"]:
            raise JetsonError(f"{path} is damaged; copy the bundle again (sha256sum -c SHA256SUMS)")
        return data

    def networks(self) -> List["Sidecar"]:
        """Return the sidecars of all graphs that this model runs."""
        if self.cascade is None:
            return [self]
        return [one for stage in self.stages() for one in self.member(stage).networks()]

    def stages(self) -> List[Json]:
        """Return the stages of a cascade; schema 1 knew two and called them a and b."""
        spec = self.cascade
        if "stages" in spec:
            return list(spec["stages"])
        return [dict(spec["a"], threshold=spec["threshold"]), dict(spec["b"], threshold=None)]

    def member(self, spec: Json) -> "Sidecar":
        """Return the sidecar of a cascade's stage, which lies beside this one."""
        path = self.path.with_name(spec["name"] + ".bicameral.json")
        if path == self.path or not path.exists():
            raise JetsonError(f"{self.path} needs {path.name} beside it; copy the bundle again")
        member = Sidecar(path)
        if member.cascade is None and spec["sha256"] not in [one["sha256"] for one in member.files]:
            raise JetsonError(f"{path} is another network than {self.path.name} was made of")
        return member


# -------------------------------------------------------------------------------------- 3 pictures

#: Pictures with more pixels are refused before they are decoded: 8,000 x 8,000.
MAX_PIXELS = 64000000
#: Weights of R, G and B in a grey level, ITU-R BT.601, in units of 1/65536; they sum to one.
GREY_WEIGHTS = (19595, 38470, 7471)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour type of a PNG -> channels; palettes are not read.
PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def decode_picture(data: bytes, image: ImageSpec) -> Array:
    """Decode a file's content into the colours of a model.

    PGM, PPM and PNG are read here, others by OpenCV or Pillow. What is transparent in a PNG becomes
    white; for a model of grey pictures it becomes what is black to the network.
    """
    if data[:2] in (b"P5", b"P6"):
        pixels = decode_pnm(data)
    elif data.startswith(PNG_SIGNATURE):
        pixels = decode_png(data)
        if pixels.shape[2] in (2, 4):
            background = 255 if image.color != "GRAY" or image.invert else 0
            share = pixels[..., -1:].astype(np.uint32)
            mixed = pixels[..., :-1] * share + (255 - share) * background
            pixels = ((mixed + 127) // 255).astype(np.uint8)
    elif data[:3] == b"\xff\xd8\xff" or data[:2] == b"BM" or data[8:12] == b"WEBP":
        pixels = decode_with_library(data)
    else:
        raise JetsonError(f"no PGM, PPM, PNG, JPEG, BMP or WebP; it starts with {data[:8]!r}")
    return to_color(pixels, image.color)


def check_size(width: int, height: int) -> None:
    """Refuse what has no pixels, and what would not fit into memory."""
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise JetsonError(f"the picture has {width} x {height} pixels, allowed: 1..{MAX_PIXELS:,}")


def decode_pnm(data: bytes) -> Array:
    """Decode a binary PGM or PPM with 8 bits per channel: (H, W, 1 or 3)."""
    comments = rb"(?:#[^\n]*\n\s*)*"
    header = re.match(rb"P[56]\s+" + (3 * (comments + rb"(\d{1,9})\s+"))[:-1], data)
    if header is None:
        raise JetsonError("the PGM or PPM has a damaged header")
    width, height, highest = (int(group) for group in header.groups())
    check_size(width, height)
    channels = 1 if data[:2] == b"P5" else 3
    body = data[header.end() : header.end() + width * height * channels]
    if highest != 255 or len(body) != width * height * channels:
        raise JetsonError("the PGM or PPM is cut off, or has not 8 bits per channel")
    return np.frombuffer(body, np.uint8).reshape(height, width, channels)


def decode_png(data: bytes) -> Array:
    """Decode a PNG of 8 bits per channel without interlacing: (H, W, 1..4), opacity last."""
    parts = collections.defaultdict(bytes)  # type: Dict[bytes, bytes]
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[position : position + 8].ljust(8, b"\0"))
        body = data[position + 8 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        if struct.pack(">I", zlib.crc32(kind + body)) != checksum:
            raise JetsonError(f"the PNG is damaged or cut off at byte {position}")
        parts[kind] += body
        position += 12 + length
    head = parts[b"IHDR"].ljust(13, b"\0")
    width, height, depth, color, interlaced = struct.unpack(">IIBBxxB", head[:13])
    check_size(width, height)
    if depth != 8 or interlaced or color not in PNG_CHANNELS or parts[b"tRNS"]:
        raise JetsonError("the PNG has a palette, interlacing or not 8 bits; convert it to PPM")
    size = width * PNG_CHANNELS[color]
    try:
        raw = zlib.decompressobj().decompress(parts[b"IDAT"], height * (1 + size))
        rows = np.frombuffer(raw, np.uint8).reshape(height, 1 + size)
    except (zlib.error, ValueError) as error:
        raise JetsonError(f"the PNG is damaged: {error}") from error
    return png_unfilter(rows[:, 0], rows[:, 1:].reshape(height, width, PNG_CHANNELS[color]))


def png_unfilter(methods: Array, rows: Array) -> Array:
    """Undo the filter of every row (PNG specification, 9): (H, W, channels) uint8."""
    above = np.zeros(rows.shape[1:], np.uint8)
    pixels = np.empty_like(rows)
    for method, row, target in zip(methods.tolist(), rows, pixels):
        if method == 0:
            target[...] = row
        elif method == 1:
            np.cumsum(row, axis=0, dtype=np.uint8, out=target)
        elif method == 2:
            np.add(row, above, out=target)
        elif method in (3, 4):
            for channel in range(row.shape[1]):
                values = row[:, channel].tolist(), above[:, channel].tolist()
                target[:, channel] = png_predicted(*values, paeth=method == 4)
        else:
            raise JetsonError(f"the PNG has the unknown filter {method}; it is damaged")
        above = target
    return pixels


def png_predicted(row: List[int], above: List[int], paeth: bool) -> List[int]:
    """Undo the filters `Average` and `Paeth` for one channel of a row."""
    left = corner = 0
    values = []
    for value, up in zip(row, above):
        near_left, near_up = abs(up - corner), abs(left - corner)
        if not paeth:
            guess = (left + up) // 2
        elif near_left <= near_up and near_left <= abs(left + up - 2 * corner):
            guess = left
        else:
            guess = up if near_up <= abs(left + up - 2 * corner) else corner
        left, corner = (value + guess) & 255, up
        values.append(left)
    return values


def decode_with_library(data: bytes) -> Array:
    """Decode with OpenCV, else with Pillow: (H, W, 1 or 3) uint8, RGB, upright."""
    try:
        import cv2
    except ImportError:
        return decode_with_pillow(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    if pixels is None:
        raise JetsonError("OpenCV cannot decode the picture; it is damaged or cut off")
    return np.atleast_3d(pixels)[..., ::-1]


def decode_with_pillow(data: bytes) -> Array:
    """Decode with Pillow; versions before 6 do not turn pictures upright."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MachineError(
            "JPEG, BMP and WebP need OpenCV or Pillow; install one (sudo apt-get install "
            "python3-pil) or convert the picture to PNG or PPM"
        ) from None
    try:
        picture = Image.open(io.BytesIO(data))
        picture = getattr(ImageOps, "exif_transpose", lambda same: same)(picture)
        mode = "L" if picture.mode in ("1", "L") else "RGB"
        return np.atleast_3d(np.asarray(picture.convert(mode)))
    except (OSError, ValueError) as error:
        raise JetsonError(f"Pillow cannot decode the picture: {error}") from error


def to_color(pixels: Array, color: str) -> Array:
    """Turn grey (H, W, 1) or RGB (H, W, 3) into GRAY, RGB or BGR, C-contiguous."""
    if color == "GRAY" and pixels.shape[2] == 3:
        grey = np.full(pixels.shape[:2], 1 << 15, np.uint32)
        for channel, weight in enumerate(GREY_WEIGHTS):
            grey += pixels[..., channel].astype(np.uint32) * weight
        pixels = (grey >> 16).astype(np.uint8)[..., None]
    elif color != "GRAY" and pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif color == "BGR":
        pixels = pixels[..., ::-1]
    return np.ascontiguousarray(pixels)


#: One picture with its name, and what a recorded drive knows about its moment, or None.
Shot = collections.namedtuple("Shot", "name picture speed_mps command")


def shots_from_file(path: Path, image: ImageSpec) -> Iterator[Shot]:
    """Yield the picture of a file, or those of an array in .npy or .npz (uint8, RGB or grey).

    A recorded drive is an .npz with `pictures`, `speed_mps` and `command`, CARLA's RoadOption.
    """
    name = os.fsencode(str(path)).decode("utf-8", "replace")
    if path.suffix not in (".npy", ".npz"):
        yield Shot(name, decode_picture(read_file(path, "picture"), image), None, None)
        return
    try:
        loaded = np.load(str(path), allow_pickle=False)
        arrays = dict(loaded) if path.suffix == ".npz" else {"pictures": loaded}
        speeds, commands = arrays.get("speed_mps"), arrays.get("command")
        for index, picture in enumerate(picture_stack(arrays["pictures"])):
            speed_mps = None if speeds is None else float(speeds[index])
            command = None if commands is None else int(commands[index])
            yield Shot(f"{name}[{index}]", to_color(picture, image.color), speed_mps, command)
    except (OSError, ValueError, KeyError, IndexError) as error:
        expected = "uint8, (N, H, W) or (N, H, W, 3)"
        raise JetsonError(f"no pictures ({expected}): {error!r}") from error


def picture_stack(pictures: Array) -> Array:
    """Return one or several pictures as (N, H, W, 1 or 3)."""
    if pictures.dtype != np.uint8 or not 2 <= pictures.ndim <= 4:
        raise ValueError(f"shape {pictures.shape}, dtype {pictures.dtype}")
    if pictures.ndim == 2 or (pictures.ndim == 3 and pictures.shape[2] in (1, 3)):
        pictures = pictures[None]
    return pictures[..., None] if pictures.ndim == 3 else pictures


# -------------------------------------------------------------------------------- 4 pre-processing


def canonical_from_picture(picture: Array, image: ImageSpec) -> Array:
    """Crop and resize a picture (H, W, C) uint8 to the size that the network sees."""
    if image.crop is not None:
        left, top, right, bottom = image.crop
        if picture.shape[0] < bottom or picture.shape[1] < right:
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raise JetsonError(f"a picture of {size} pixels is smaller than the crop {image.crop}")
        picture = picture[top:bottom, left:right]
    if image.aspect == "crop":
        picture = middle(picture, image.height, image.width)
    canonical = resize_area_int(picture, image.height, image.width)
    return np.invert(canonical) if image.invert else canonical


def middle(picture: Array, height: int, width: int) -> Array:
    """Return the largest part in the middle with the proportions height : width."""
    rows, columns = picture.shape[:2]
    kept_rows = min(rows, max(1, columns * height // width))
    kept_columns = min(columns, max(1, rows * width // height))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    return picture[top : top + kept_rows, left : left + kept_columns]


def resize_area_int(picture: Array, height: int, width: int) -> Array:
    """Resize by area averaging in integer arithmetic, rounding halves up."""
    rows, columns = picture.shape[:2]
    if (rows, columns) == (height, width):
        return np.ascontiguousarray(picture)
    if (rows, columns) == (2 * height, 2 * width):  # the same result, several times faster
        pairs = picture[0::2].astype(np.uint16) + picture[1::2]
        return ((pairs[:, 0::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)
    sums = sum_rows(sum_rows(picture, height).swapaxes(0, 1), width).swapaxes(0, 1)
    total = rows * columns
    return np.ascontiguousarray(((sums + total // 2) // total).astype(np.uint8))


def sum_rows(picture: Array, height: int) -> Array:
    """Sum rows by how much each output row covers them, in units of 1/height of a row."""
    rows = picture.shape[0]
    sums = np.empty((height,) + picture.shape[1:], np.int64)
    for place, row in enumerate(sums):
        first, begun = divmod(place * rows, height)
        last, ended = divmod((place + 1) * rows, height)
        np.sum(picture[first:last], axis=0, dtype=np.int64, out=row)
        row *= height
        if begun:
            row -= picture[first].astype(np.int64) * begun
        if ended:
            row += picture[last].astype(np.int64) * ended
    return sums


def tensor_from_canonical(canonical: Array, image: ImageSpec) -> Array:
    """Scale one canonical image (H, W, C) uint8 to the tensor (1, C, H, W) float32."""
    mean, std = np.asarray(image.mean, np.float64), np.asarray(image.std, np.float64)
    gain, offset = (image.scale / std).astype(np.float32), (-mean / std).astype(np.float32)
    return np.ascontiguousarray(np.moveaxis(canonical * gain + offset, -1, 0)[None])


def picture_statistics(canonical: Array) -> Tuple[float, float]:
    """Return brightness (mean) and contrast (standard deviation) of one canonical image."""
    flat = canonical.reshape(-1)
    total = int(flat.sum(dtype=np.int64))
    squares = int(np.square(flat, dtype=np.uint16).sum(dtype=np.int64))
    variance = (squares * flat.size - total * total) / (flat.size * flat.size)
    return total / flat.size, float(np.sqrt(variance))


# --------------------------------------------------------------------------------- 5 probabilities


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Return `softmax(logits / temperature)` over the last axis in float64."""
    values = np.divide(logits, temperature, dtype=np.float64)
    values = np.exp(values - np.maximum.reduce(values, axis=-1, keepdims=True))
    return values / np.add.reduce(values, axis=-1, keepdims=True)


def margin(probabilities: Array) -> Array:
    """Return the gap between the two largest probabilities of each row."""
    ordered = np.sort(probabilities, axis=-1)
    return np.subtract(ordered[..., -1], ordered[..., -2], dtype=np.float64)


def entropy_normalised(probabilities: Array) -> Array:
    """Return 1 - entropy / ln C of each row: 0 (uniform) to 1 (certain)."""
    values = np.asarray(probabilities, np.float64)
    terms = np.log(np.maximum(values, np.finfo(np.float64).tiny)) * values
    sureness = 1.0 + np.add.reduce(terms, axis=-1) / math.log(values.shape[-1])
    return np.minimum(np.maximum(sureness, 0.0), 1.0)


#: Scores of how sure a distribution is: (N, C) -> (N,) float64, high = sure.
SCORES = {
    "margin": margin,
    "max_probability": lambda p: np.asarray(np.maximum.reduce(p, axis=-1), np.float64),
    "entropy_normalised": entropy_normalised,
}  # type: Dict[str, Callable[[Array], Array]]

#: Ways to combine the probabilities of A and B, which have these scores.
COMBINATIONS = {
    "average": lambda pa, pb, sa, sb: (pa + pb) * 0.5,
    "post_check": lambda pa, pb, sa, sb: np.where((sb > sa)[..., None], pb, pa),
    "replace": lambda pa, pb, sa, sb: pb,
}  # type: Dict[str, Callable[[Array, Array, Array, Array], Array]]

#: What a classifier says about one picture: probabilities (1, C) float32, the largest of them (1,),
#: who answered (`memory`, `network`, or the last stage that was asked), and A's score or None.
Answer = collections.namedtuple("Answer", "probabilities confidence stage confidence_a")

# --------------------------------------------------------------------------------- 6 result memory

#: Rows of the difference hash, and differences per row.
CELLS = 8
#: A bit says that a cell is brighter than its left neighbour by more than so many grey levels.
MARGIN_U8 = 16
#: So many least certain bits are tried both ways.
UNCERTAIN_BITS = 3
#: Entries that may share a key of the memory `dhash_verified`.
BUCKET_LIMIT = 32


class Entry:
    """One remembered answer; compared by identity."""

    def __init__(self, key: Any, canonical: Array, answer: Answer, stored_s: float) -> None:
        self.key, self.canonical, self.answer, self.stored_s = key, canonical, answer, stored_s


class ResultMemory:
    """Remembers answers for images seen before, exactly or nearly so; a hit changes no answer."""

    def __init__(self, spec: Json, clock: Callable[[], float] = time.monotonic) -> None:
        if spec["key"] not in ("exact", "dhash_verified"):
            raise JetsonError(f"unknown memory key {spec['key']!r}; known: exact, dhash_verified")
        self._verified = spec["key"] == "dhash_verified"
        self._keys = dhash_probes if self._verified else content_keys
        self._spec, self._clock = spec, clock
        self._buckets = collections.defaultdict(list)  # type: Dict[Any, List[Entry]]
        self._by_use = collections.OrderedDict()  # type: collections.OrderedDict[Entry, None]
        self._by_age = collections.OrderedDict()  # type: collections.OrderedDict[Entry, None]
        self.counts = {"lookups": 0, "hits": 0, "stored": 0}

    def lookup(self, canonical: Array) -> Optional[Answer]:
        """Return the answer for a canonical image, or None."""
        self._forget_old()
        self.counts["lookups"] += 1
        keys = [key for key in self._keys(canonical) if key in self._buckets]
        entry = self._nearest(canonical, [one for key in keys for one in self._buckets[key]])
        if entry is None:
            return None
        self.counts["hits"] += 1
        self._by_use.move_to_end(entry)
        bucket = self._buckets[entry.key]
        bucket.append(bucket.pop(bucket.index(entry)))
        return entry.answer._replace(stage="memory", confidence_a=None)

    def store(self, canonical: Array, answer: Answer) -> None:
        """Remember an answer if it is confident enough."""
        self._forget_old()
        if not (answer.confidence >= self._spec["store_min_confidence"]).all():
            return
        key = self._keys(canonical)[0]
        bucket = self._buckets[key]
        leaving = [one for one in bucket if np.array_equal(one.canonical, canonical)]
        if not leaving and len(bucket) >= (BUCKET_LIMIT if self._verified else 1):
            leaving = bucket[:1]
        elif not leaving and len(self._by_use) >= self._spec["max_entries"]:
            leaving = [next(iter(self._by_use))]
        for entry in leaving:
            self._remove(entry)
        entry = Entry(key, canonical.copy(), answer, self._clock())
        self._buckets[key].append(entry)
        self._by_use[entry] = self._by_age[entry] = None
        self.counts["stored"] += 1

    def _nearest(self, canonical: Array, found: List[Entry]) -> Optional[Entry]:
        """Return the entry whose image differs least, if it is within the tolerance."""
        if not found or not self._verified:
            return found[0] if found else None
        stored = np.stack([entry.canonical for entry in found]).astype(np.int16)
        sums = np.abs(stored - canonical).sum(axis=(1, 2, 3), dtype=np.int64)
        nearest = int(sums.argmin())
        near = sums[nearest] <= self._spec["tolerance_mae_u8"] * canonical.size
        return found[nearest] if near else None

    def _remove(self, entry: Entry) -> None:
        del self._by_use[entry], self._by_age[entry]
        self._buckets[entry.key].remove(entry)
        if not self._buckets[entry.key]:
            del self._buckets[entry.key]

    def _forget_old(self) -> None:
        limit_s = self._spec["max_age_s"]
        while limit_s is not None and self._by_age:
            oldest = next(iter(self._by_age))
            if oldest.stored_s >= self._clock() - limit_s:
                return
            self._remove(oldest)


def content_keys(canonical: Array) -> List[bytes]:
    """Return a cryptographic digest of an image: nobody may borrow another's answer."""
    return [hashlib.sha256(canonical.tobytes()).digest()]


def dhash_probes(canonical: Array) -> List[int]:
    """Return an image's difference hash with a margin, then with its least certain bits flipped."""
    height, width, channels = canonical.shape
    cells = area_weights(width, CELLS + 1)
    columns = np.repeat((cells[1:] - cells[:-1]).T, channels, axis=0)
    flat = canonical.reshape(height, width * channels).astype(np.float64)
    # In float64 for the sake of BLAS; all values are whole numbers far below 2 ** 53.
    excess = np.dot(area_weights(height, CELLS), np.dot(flat, columns)).reshape(-1)
    excess -= MARGIN_U8 * canonical.size
    key = sum(1 << bit for bit in np.flatnonzero(excess > 0).tolist())
    least = np.abs(excess).argsort(kind="mergesort")[:UNCERTAIN_BITS].tolist()
    probes = range(1 << UNCERTAIN_BITS)
    flips = [sum(1 << bit for at, bit in enumerate(least) if one >> at & 1) for one in probes]
    return [key ^ flip for flip in flips]


@functools.lru_cache(maxsize=16)
def area_weights(size: int, reduced: int) -> Array:
    """Return (reduced, size) overlaps in units of 1/reduced of an input pixel, float64."""
    start = np.arange(size, dtype=np.int64)[None, :] * reduced
    begin = np.arange(reduced, dtype=np.int64)[:, None] * size
    overlap = np.minimum(start + reduced, begin + size) - np.maximum(start, begin)
    return np.maximum(overlap, 0).astype(np.float64)


# ----------------------------------------------------------------------------------- 7 classifiers

#: From the sidecar of a network to an object with run(feeds) -> outputs.
OpenEngine = Callable[[Sidecar], Any]


class NetworkClassifier:
    """One network: a canonical image in, calibrated probabilities out."""

    def __init__(self, sidecar: Sidecar, engine: Any) -> None:
        wanted = [one for one in sidecar.outputs if one["meaning"] in ("logits", "probabilities")]
        if sidecar.kind != "classifier" or len(wanted) != 1 or len(sidecar.input_shapes) != 1:
            raise JetsonError(f"{sidecar.path} describes no classifier of one image")
        self.name, self.labels, self.image = sidecar.name, sidecar.labels, sidecar.image
        self.memory = None  # type: Optional[ResultMemory]
        self._sidecar, self._engine, self._output = sidecar, engine, wanted[0]

    def predict(self, canonical: Array) -> Answer:
        """Classify one canonical image (H, W, C) uint8."""
        sidecar = self._sidecar
        if sidecar.in_graph:
            tensor = np.moveaxis(canonical[None], -1, 1)
        else:
            tensor = tensor_from_canonical(canonical, sidecar.image)
        if sidecar.colours_last:
            tensor = np.moveaxis(tensor, 1, -1)
        feeds = {sidecar.input_name: np.ascontiguousarray(tensor)}
        values = self._engine.run(feeds)[self._output["name"]].reshape(1, -1)
        if self._output["meaning"] == "logits":
            values = softmax(values, sidecar.temperature).astype(np.float32)
        return Answer(values, np.maximum.reduce(values, axis=-1), "network", None)


class CascadeClassifier:
    """Classifiers that are asked in turn, as long as the answer so far is not sure."""

    def __init__(
        self, sidecar: Sidecar, members: List[Any], memory: Optional[ResultMemory]
    ) -> None:
        spec, first = sidecar.content["cascade"], members[0]
        for one in members[1:]:
            if one.labels != first.labels or one.image[:5] != first.image[:5]:
                raise JetsonError(f"{sidecar.path} joins networks with other labels or pictures")
        self.name, self.labels, self.image = sidecar.name, sidecar.labels, sidecar.image
        self.memory = memory
        self._members = members
        self._thresholds = [float(one["threshold"]) for one in sidecar.stages()[:-1]]
        self._score, self._combine = SCORES[spec["score"]], COMBINATIONS[spec["combine"]]

    def predict(self, canonical: Array) -> Answer:
        """Classify one canonical image (H, W, C) uint8; what is confident is remembered."""
        known = None if self.memory is None else self.memory.lookup(canonical)
        if known is not None:
            return known
        answer = self._compute(canonical)
        if self.memory is not None:
            self.memory.store(canonical, answer)
        return answer

    def _compute(self, canonical: Array) -> Answer:
        found = self._members[0].predict(canonical).probabilities
        score = first = self._score(found)
        stage = 0
        while stage < len(self._thresholds) and score[0] < self._thresholds[stage]:
            stage += 1
            further = self._members[stage].predict(canonical).probabilities
            found = self._combine(found, further, score, self._score(further))
            score = self._score(found)
        confidence = np.maximum.reduce(found, axis=-1)
        return Answer(found, confidence, string.ascii_lowercase[stage], float(first[0]))


def load_classifier(sidecar: Sidecar, open_engine: OpenEngine, remember: bool = True) -> Any:
    """Load a classifier, or a cascade with its members and an empty memory."""
    if sidecar.cascade is None:
        return NetworkClassifier(sidecar, open_engine(sidecar))
    stages = sidecar.stages()
    members = [load_classifier(sidecar.member(one), open_engine, False) for one in stages]
    spec = sidecar.cascade["memory"]
    memory = ResultMemory(spec) if remember and spec is not None else None
    return CascadeClassifier(sidecar, members, memory)


# --------------------------------------------------------------------------------- 8 driving agent

#: CARLA's RoadOption -> column of the one-hot input; a lane change is driven like a lane.
COLUMN_FROM_COMMAND = {1: 1, 2: 2, 3: 3, 4: 0, 5: 0, 6: 0}
COMMANDS = {"left": 1, "right": 2, "straight": 3, "lane_follow": 4}
#: Keeps the logarithm finite; CARIL's constant.
ENTROPY_FLOOR = 1e-8

#: How sure a network is: its largest probability, its entropy in nats, the class.
Confidence = collections.namedtuple("Confidence", "max_probability entropy steering_class")
#: What the two heads say about one picture: raw steer, logits (K,), probabilities (K,).
Opinion = collections.namedtuple("Opinion", "steer logits probabilities")
#: What a rule made of them: raw steer (the agent bounds it), that of the network asked first, ...
Correction = collections.namedtuple("Correction", "steer steer_raw confidence branch speed_factor")


def confidence_of(probabilities: Array) -> Confidence:
    """Measure class probabilities (K,) that sum to 1."""
    winner = int(probabilities.argmax())
    entropy = -float((probabilities * np.log(probabilities + ENTROPY_FLOOR)).sum())
    bounded = min(max(entropy, 0.0), math.log(len(probabilities)))
    return Confidence(float(probabilities[winner]), bounded, winner)


class DualHeadNetwork:
    """A network with a steering and a steering class head."""

    def __init__(self, sidecar: Sidecar, engine: Any) -> None:
        if sidecar.agent is None:
            raise JetsonError(f"{sidecar.path} describes no driving agent")
        self.sidecar, self.agent, self._engine = sidecar, sidecar.agent, engine

    def predict(self, canonical: Array, speed_mps: float, command: int) -> Opinion:
        """Answer for one canonical image, the forward speed and a RoadOption 1..6."""
        feeds = {self.sidecar.input_name: tensor_from_canonical(canonical, self.sidecar.image)}
        if len(self.sidecar.input_shapes) > 1:
            feeds["speed_mps"] = np.array([[speed_mps]], np.float32)
            feeds["command"] = np.zeros((1, 4), np.float32)
            feeds["command"][0, COLUMN_FROM_COMMAND[command]] = 1.0
        outputs = self._engine.run(feeds)
        logits = outputs["logits"]
        probabilities = softmax(logits, self.sidecar.temperature)
        return Opinion(float(outputs["steer"].reshape(-1)[0]), logits[0], probabilities[0])


class Opinions:
    """The answers of one or two networks about one moment, computed when first asked for."""

    def __init__(self, networks: Sequence[DualHeadNetwork], picture: Array, *moment: Any) -> None:
        self._networks, self._picture, self._moment = networks, picture, moment
        self._images = {}  # type: Dict[ImageSpec, Array]
        self.answers = {}  # type: Dict[int, Opinion]

    def image(self, which: int = 0) -> Array:
        """Return the picture as network A (0) or B (1) sees it."""
        spec = self._networks[which].sidecar.image
        if spec not in self._images:
            self._images[spec] = canonical_from_picture(self._picture, spec)
        return self._images[spec]

    def ask(self, which: int) -> Opinion:
        """Return the answer of network A (0) or B (1)."""
        if which not in self.answers:
            self.answers[which] = self._networks[which].predict(self.image(which), *self._moment)
        return self.answers[which]


class NoCorrection:
    """The regression head steers, the classification head only watches."""

    def correct(self, opinions: Opinions) -> Correction:
        """Return network A's steering."""
        a = opinions.ask(0)
        return Correction(a.steer, a.steer, confidence_of(a.probabilities), "none", 1.0)


class PaperCorrection:
    """CARIL's rule (arXiv 2503.00783) with seeded draws, made once per picture."""

    def __init__(self, networks: Sequence[DualHeadNetwork], settings: Json) -> None:
        agent = networks[0].agent
        self._edges, self._scale = list(agent["bin_edges"]), float(agent["steering_scale"])
        if not hasattr(np.random, "default_rng"):
            raise MachineError(f"numpy is {np.__version__}; 'paper' needs 1.17: see README.md")
        self._rng = np.random.default_rng(settings.get("seed", 0))

    def correct(self, opinions: Opinions) -> Correction:
        """Apply the rule to network A's answer."""
        a = opinions.ask(0)
        steer, branch = a.steer, "paper_3_lost"
        if math.isfinite(a.steer):
            steer, branch = self._steer(a.steer, softmax(a.logits))
        return Correction(steer, a.steer, confidence_of(a.probabilities), branch, 1.0)

    def _steer(self, steer: float, probabilities: Array) -> Tuple[float, str]:
        sure = confidence_of(probabilities)
        winner = sure.steering_class
        if sure.max_probability >= 0.9:
            place = int(np.searchsorted(np.asarray(self._edges), steer, side="right")) - 1
            place = min(max(place, 0), len(self._edges) - 2)
            if abs(place - winner) <= 1:
                return steer, "paper_1_agree"
            low, high = self._edges[winner], self._edges[winner + 1]
            return float(self._rng.uniform(low, high, 10).mean()), "paper_2_class"
        if sure.max_probability < 0.5 and sure.entropy > 1.5:
            return steer, "paper_3_lost"
        spread = float(np.sqrt(probabilities.var()))
        scaled = self._rng.normal(steer * self._scale, spread, 10).mean()
        return float(scaled) / self._scale, "paper_4_jitter"


class SecondOpinion:
    """Network B is asked when A is not to be trusted; everything is deterministic."""

    def __init__(self, networks: Sequence[DualHeadNetwork], settings: Json) -> None:
        if len(networks) < 2:
            raise JetsonError(
                "second_opinion needs a second network: bicameral export --bundle --second"
            )
        first, second = networks[0].agent, networks[1].agent
        self._threshold_a = settings.get("threshold_a", first["confidence"]["threshold"])
        self._threshold_b = settings.get("threshold_b", second["confidence"]["threshold"])
        self._agreement = settings.get("agreement", 0.05)
        self._hold_ticks = settings.get("hold_ticks", 10)
        self._unsure_speed_factor = settings.get("unsure_speed_factor", 1.0)
        self._limits = []
        for low, high in (first["input_range"][one] for one in ("brightness", "contrast")):
            wider = settings.get("range_margin", 0.1) * (high - low)
            self._limits.append((low - wider, high + wider))
        self._hold = 0

    def correct(self, opinions: Opinions) -> Correction:
        """Decide one moment: out of range, held, A sure, both agree, the surer one."""
        found = picture_statistics(opinions.image())
        if not all(low <= value <= high for value, (low, high) in zip(found, self._limits)):
            self._hold = self._hold_ticks
            return self._follow_b(opinions, "second_opinion_b_out_of_range")
        if self._hold > 0:
            self._hold -= 1
            return self._follow_b(opinions, "second_opinion_b_held")
        a = opinions.ask(0)
        sure = confidence_of(a.probabilities)
        if math.isfinite(a.steer) and sure.max_probability >= self._threshold_a:
            return Correction(a.steer, a.steer, sure, "second_opinion_a", 1.0)
        return self._weigh(opinions, a, sure)

    def _weigh(self, opinions: Opinions, a: Opinion, sure_a: Confidence) -> Correction:
        b = opinions.ask(1)
        sure_b = confidence_of(b.probabilities)
        weight_a, weight_b = sure_a.max_probability, sure_b.max_probability
        if abs(a.steer - b.steer) <= self._agreement:
            blend = (weight_a * a.steer + weight_b * b.steer) / (weight_a + weight_b)
            return Correction(blend, a.steer, sure_a, "second_opinion_blend", 1.0)
        b_is_sure = weight_b >= self._threshold_b
        factor = 1.0 if b_is_sure else self._unsure_speed_factor
        if math.isfinite(a.steer) and weight_a >= weight_b:
            return Correction(a.steer, a.steer, sure_a, "second_opinion_a_surer", factor)
        if b_is_sure:
            self._hold = self._hold_ticks
        branch = "second_opinion_b_surer" if b_is_sure else "second_opinion_b_both_unsure"
        return Correction(b.steer, a.steer, sure_b, branch, factor)

    def _follow_b(self, opinions: Opinions, branch: str) -> Correction:
        b = opinions.ask(1)
        return Correction(b.steer, b.steer, confidence_of(b.probabilities), branch, 1.0)


CORRECTIONS = {
    "none": lambda networks, settings: NoCorrection(),
    "paper": PaperCorrection,
    "second_opinion": SecondOpinion,
}  # type: Dict[str, Callable[..., Any]]


class DrivingAgent:
    """A camera picture, the speed and a command in; steering, confidence and correction out.

    It steers only: the pedals follow the route's speed profile, which a navigator knows, times
    `speed_factor`. It sees no obstacles and no traffic lights.
    """

    def __init__(self, networks: Sequence[DualHeadNetwork], rule: str, settings: Json) -> None:
        if rule not in CORRECTIONS:
            raise JetsonError(f"unknown correction {rule!r}; known: {', '.join(CORRECTIONS)}")
        self.name, self.image = networks[0].sidecar.name, networks[0].sidecar.image
        self._networks, self._last_steer = networks, 0.0
        self._rule = CORRECTIONS[rule](networks, settings)

    def act(self, picture: Array, speed_mps: float, command: int) -> Json:
        """Decide about one picture (H, W, 3) uint8 in the colours of the model."""
        if command not in COLUMN_FROM_COMMAND:
            raise JetsonError(f"unknown command {command}; known are CARLA's RoadOptions 1..6")
        opinions = Opinions(self._networks, picture, speed_mps, command)
        correction = self._rule.correct(opinions)
        sure, raw = correction.confidence, correction.steer_raw
        return {
            "steer": self._bound(correction.steer),
            "branch": correction.branch,
            "steer_raw": raw if math.isfinite(raw) else None,
            "confidence": sure.max_probability,
            "entropy": sure.entropy,
            "speed_factor": correction.speed_factor,
            "asked_a": 0 in opinions.answers,
            "asked_b": 1 in opinions.answers,
        }

    def _bound(self, steer: float) -> float:
        """Clip a steering value; one that is no number repeats the last."""
        self._last_steer = min(max(steer, -1.0), 1.0) if math.isfinite(steer) else self._last_steer
        return self._last_steer


# ----------------------------------------------------------------------------- 9 CUDA and TensorRT

#: Name of a TensorRT type -> numpy's.
NUMPY_TYPES = {
    "FLOAT": "f4",
    "HALF": "f2",
    "INT32": "i4",
    "INT64": "i8",
    "INT8": "i1",
    "UINT8": "u1",
}
#: An input or output of an engine: its array here, and the address of its copy on the device.
Tensor = collections.namedtuple("Tensor", "name is_input array address")


def import_tensorrt() -> Any:
    """Import TensorRT, or say where it comes from."""
    try:
        import tensorrt
    except ImportError as error:
        raise MachineError(
            f"python3 cannot import tensorrt ({error}); it comes with JetPack for the system's "
            "python3 (sudo apt-get install python3-libnvinfer), not from PyPI; a container needs "
            "docker run --runtime nvidia"
        ) from error
    return tensorrt


class Cuda:
    """The few calls of the CUDA runtime that moving tensors needs, through ctypes."""

    def __init__(self) -> None:
        names = [f"libcudart.so{version}" for version in ("", ".13", ".12", ".11.0", ".10.2")]
        for name in names + [f"/usr/local/cuda/lib64/{name}" for name in names]:
            with contextlib.suppress(OSError):
                self._library = ctypes.CDLL(name)
                return
        raise MachineError(
            "the CUDA runtime libcudart.so cannot be loaded; add its folder, on JetPack "
            "/usr/local/cuda/lib64, to LD_LIBRARY_PATH"
        )

    def allocate(self, size: int) -> int:
        """Allocate device memory and return its address."""
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(size))
        return int(address.value or 0)

    def copy(self, tensor: Tensor) -> None:
        """Copy an input's array to the device, or fill an output's array from it."""
        there, here = ctypes.c_void_p(tensor.address), ctypes.c_void_p(tensor.array.ctypes.data)
        way, size = (there, here) if tensor.is_input else (here, there), tensor.array.nbytes
        kind = ctypes.c_int(1 if tensor.is_input else 2)  # cudaMemcpyHostToDevice, DeviceToHost
        self._call("cudaMemcpy", *way, ctypes.c_size_t(size), kind)

    def device(self) -> Tuple[str, str]:
        """Return the GPU's name and compute capability, e.g. ("NVIDIA Tegra X1", "5.3")."""
        properties = ctypes.create_string_buffer(1 << 14)  # larger than any; the name comes first
        name = "cudaGetDeviceProperties"
        newer = hasattr(self._library, f"{name}_v2")
        self._call(f"{name}_v2" if newer else name, properties, ctypes.c_int(0))
        digits = [ctypes.c_int(), ctypes.c_int()]
        for digit, attribute in zip(digits, (75, 76)):  # cudaDevAttrComputeCapabilityMajor, Minor
            arguments = ctypes.byref(digit), ctypes.c_int(attribute), ctypes.c_int(0)
            self._call("cudaDeviceGetAttribute", *arguments)
        return properties.value.decode("utf-8", "replace"), f"{digits[0].value}.{digits[1].value}"

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            self._library.cudaGetErrorString.restype = ctypes.c_char_p
            reason = self._library.cudaGetErrorString(status).decode()
            raise MachineError(f"CUDA's {name} failed with {status}: {reason}")


class TensorRtEngine:
    """An engine on the GPU: the tensors of one picture in, all outputs out.

    TensorRT 8.2 to 11 differ in how tensors are named and sized; what exists is asked, not which
    version it is. `execute_v2` is the one call that all of them have.
    """

    def __init__(self, plan: bytes, shapes: Dict[str, List[int]]) -> None:
        tensorrt, self._cuda = import_tensorrt(), Cuda()
        self._logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        self._runtime = runtime = tensorrt.Runtime(self._logger)
        self._engine = engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError("TensorRT cannot load the engine; build it again: build --again")
        self._context = context = engine.create_execution_context()
        if hasattr(engine, "num_io_tensors"):
            names = [engine.get_tensor_name(place) for place in range(engine.num_io_tensors)]
            inputs = [engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT for name in names]
            types = [engine.get_tensor_dtype(name) for name in names]
            for name in (one for one, is_input in zip(names, inputs) if is_input):
                context.set_input_shape(name, shapes[name])
            sizes = [context.get_tensor_shape(name) for name in names]
        else:
            places = range(engine.num_bindings)
            names = [engine.get_binding_name(place) for place in places]
            inputs = [engine.binding_is_input(place) for place in places]
            types = [engine.get_binding_dtype(place) for place in places]
            for place in (one for one in places if inputs[one]):
                context.set_binding_shape(place, shapes[names[place]])
            sizes = [context.get_binding_shape(place) for place in places]
        self._tensors = []
        for name, is_input, kind, size in zip(names, inputs, types, sizes):
            array = np.zeros(tuple(size), NUMPY_TYPES[kind.name])
            self._tensors.append(Tensor(name, is_input, array, self._cuda.allocate(array.nbytes)))

    def run(self, feeds: Dict[str, Array]) -> Dict[str, Array]:
        """Compute all outputs; those in half precision come as float32."""
        for tensor in self._tensors:
            if tensor.is_input:
                tensor.array[...] = feeds[tensor.name]
                self._cuda.copy(tensor)
        context, outputs = self._context, {}
        if not context.execute_v2([tensor.address for tensor in self._tensors]):
            raise MachineError("TensorRT could not run the engine; its messages above say why")
        for tensor in self._tensors:
            if not tensor.is_input:
                self._cuda.copy(tensor)
                half = tensor.array.dtype == np.float16
                outputs[tensor.name] = tensor.array.astype(np.float32 if half else None)
        return outputs


# ------------------------------------------------------------------------------ 10 engines on disk


def device_identity() -> Json:
    """Return what an engine depends on besides its graph; engines cannot be carried elsewhere."""
    gpu, capability = Cuda().device()
    tensorrt = import_tensorrt()
    release = [int(part) for part in re.findall(r"\d+", tensorrt.__version__)[:2]]
    if release < [8, 2]:
        raise MachineError(
            f"TensorRT is {tensorrt.__version__}, graphs are checked for 8.2 or later. JetPack "
            "4.6.0 has 8.0.1; update to 4.6.1 or later: README.md, JetPack 4.6.0"
        )
    return {"tensorrt": tensorrt.__version__, "gpu": gpu, "compute_capability": capability}


class EngineStore:
    """The engines of one network: the active one and the one before it.

    Beside NAME.PRECISION-HASH.engine lies a .json that says what it was built from and for; it is
    compared before TensorRT sees the engine. NAME.active.json names both engines.
    """

    def __init__(self, folder: Path, sidecar: Sidecar) -> None:
        self.folder, self._name, self._graph = folder, sidecar.name, sidecar.file["sha256"]
        self._pointer = folder / f"{self._name}.active.json"

    def named(self, which: str) -> Optional[str]:
        """Return the stem of the `active` or the `previous` engine, or None."""
        if not self._pointer.exists():
            return None
        return read_json(self._pointer, "list of engines").get(which)

    def add(self, plan: bytes, record: Json) -> None:
        """Make an engine the active one; the active one becomes the previous one."""
        record = dict(record, graph_sha256=self._graph, sha256=hashlib.sha256(plan).hexdigest())
        stem = f"{self._name}.{record['precision']}-{record['sha256'][:12]}"
        write_whole(self.folder / f"{stem}.engine", plan)
        write_whole(self.folder / f"{stem}.json", json.dumps(record, indent=2).encode())
        active = self.named("active")
        previous = self.named("previous") if active == stem else active
        write_whole(self._pointer, json.dumps({"active": stem, "previous": previous}).encode())
        for path in self.folder.glob(f"{self._name}.*.engine"):
            if path.stem not in (stem, previous):
                path.unlink()
                path.with_suffix(".json").unlink()

    def roll_back(self, identity: Json, swap: bool) -> str:
        """Check the previous engine, and swap it with the active one; return its stem."""
        active, previous = self.named("active"), self.named("previous")
        if previous is None:
            raise JetsonError(f"{self._name} has no previous engine to go back to")
        self.check(previous, identity)
        if swap:
            both = {"active": previous, "previous": active}
            write_whole(self._pointer, json.dumps(both).encode())
        return previous

    def check(self, stem: Optional[str], identity: Json) -> Json:
        """Return the record of an engine that this device and this graph can use."""
        if stem is None:
            raise EngineError(f"there is no engine for {self._name} yet; make it: sudo ./build.sh")
        record = read_json(self.folder / f"{stem}.json", "engine's record")
        for field, expected in dict(identity, graph_sha256=self._graph).items():
            if record.get(field) != expected:
                raise EngineError(
                    f"the engine {stem} was built for {field} {record.get(field)!r}, here it is "
                    f"{expected!r}; engines cannot be carried over, make one here with: build"
                )
        return record

    def load(self, identity: Json) -> bytes:
        """Read the active engine, checked before TensorRT sees it."""
        stem = self.named("active")
        record = self.check(stem, identity)
        plan = read_file(self.folder / f"{stem}.engine", "engine")
        if hashlib.sha256(plan).hexdigest() != record["sha256"]:
            raise EngineError(f"the engine {stem} is damaged; make it again: build --again")
        return plan


# ------------------------------------------------------------------------------------- 11 building

#: Largest difference between engine and ONNX Runtime that passes, of the largest output.
TOLERANCES = {"fp32": 0.01, "fp16": 0.05, "int8": 0.1}


def memory_mib() -> Tuple[int, int]:
    """Return the available memory, which CPU and GPU share on a Jetson, and the free swap."""
    text = read_file(Path("/proc/meminfo"), "memory state").decode()
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.M))
    return int(found["MemAvailable"]) // 1024, int(found["SwapFree"]) // 1024


def has_little_memory() -> bool:
    """Return whether CPU and GPU share 4 GB or less, as on a Nano."""
    text = read_file(Path("/proc/meminfo"), "memory state").decode()
    found = re.search(r"^MemTotal:\s+(\d+) kB", text, re.M)
    return found is not None and int(found.group(1)) < 5 * MIB


def build_plan(sidecar: Sidecar, precision: str, workspace: int, timings: Path) -> bytes:
    """Build an engine with whatever API this TensorRT has; `timings` make the next one quicker."""
    tensorrt = import_tensorrt()
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    flags, flag = 0, tensorrt.NetworkDefinitionCreationFlag
    if hasattr(flag, "EXPLICIT_BATCH"):  # needed until 8, gone from 11
        flags = 1 << int(flag.EXPLICIT_BATCH)
    network = builder.create_network(flags)
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(sidecar.graph()):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise MachineError(f"TensorRT cannot read the graph of {sidecar.name}: {errors}")
    config = builder.create_builder_config()
    if hasattr(config, "set_memory_pool_limit"):  # from 8.4
        config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, workspace * MIB)
    else:
        config.max_workspace_size = workspace * MIB
    if precision == "fp16":
        if not hasattr(tensorrt.BuilderFlag, "FP16"):  # from 11
            raise MachineError("this TensorRT takes the precision of the graph: --precision fp32")
        config.set_flag(tensorrt.BuilderFlag.FP16)
    if hasattr(tensorrt.BuilderFlag, "INT8"):  # from 11 the graph says it
        set_or_clear = config.set_flag if precision == "int8" else config.clear_flag
        set_or_clear(tensorrt.BuilderFlag.INT8)
    profile = builder.create_optimization_profile()
    for name, shape in sidecar.input_shapes.items():
        profile.set_shape(name, shape, shape, shape)
    config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timings.read_bytes() if timings.exists() else b"")
    config.set_timing_cache(cache, False)
    plan = None
    if hasattr(config, "set_tactic_sources"):
        sources = config.get_tactic_sources()
        if has_little_memory():
            config.set_tactic_sources(0)  # cuDNN and cuBLAS alone take 0.6 GB while building
            plan = builder.build_serialized_network(network, config)
            config.set_tactic_sources(sources)
    if plan is None:
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise MachineError(f"TensorRT could not build {sidecar.name}; its messages say why")
    write_whole(timings, bytes(cache.serialize()))
    return bytes(plan)


def largest_difference(sidecar: Sidecar, engine: Any) -> float:
    """Compare an engine with ONNX Runtime's answers in NAME.check.npz, relative to the largest."""
    path = sidecar.path.with_name(f"{sidecar.name}.check.npz")
    recorded = dict(np.load(io.BytesIO(read_file(path, "recorded answers"))))
    feeds = {name[3:]: value for name, value in recorded.items() if name.startswith("in.")}
    errors = []
    for row in range(len(feeds[sidecar.input_name])):
        found = engine.run({name: value[row : row + 1] for name, value in feeds.items()})
        for name, value in found.items():
            expected = recorded[f"out.{name}"]
            errors.append(np.abs(value - expected[row : row + 1]).max() / np.abs(expected).max())
    return float(np.max(errors))  # no number stays no number


def build_one(sidecar: Sidecar, store: EngineStore, precision: str, workspace: int) -> None:
    """Build, compare and keep the engine of one network; runs in a process of its own."""
    began_s, identity = time.monotonic(), device_identity()
    timings = store.folder / f"timing-{identity['tensorrt']}.cache"
    plan = build_plan(sidecar, precision, workspace, timings)
    seconds = time.monotonic() - began_s
    difference = largest_difference(sidecar, TensorRtEngine(plan, sidecar.input_shapes))
    if not difference <= TOLERANCES[precision]:
        raise MachineError(
            f"the engine of {sidecar.name} answers otherwise than its graph: difference "
            f"{difference:.4f}, allowed {TOLERANCES[precision]}; it is not used. Try --precision "
            "fp32; if that differs too, this TensorRT cannot run the graph"
        )
    store.add(plan, dict(identity, precision=precision, difference=difference, build_s=seconds))
    print(f"{sidecar.name}: built in {seconds:.0f} s, difference {difference:.5f}", flush=True)


def run_watched(command: Sequence[str], name: str, every_s: float = 15.0) -> None:
    """Run a build as a child, show that it lives, and explain its end."""
    began_s, least_mib = time.monotonic(), memory_mib()[0]
    with subprocess.Popen(list(command)) as child:
        while child.poll() is None:
            try:
                child.wait(every_s)
            except subprocess.TimeoutExpired:
                mib, swap = memory_mib()
                least_mib, passed_s = min(least_mib, mib), time.monotonic() - began_s
                print(f"{name}: {passed_s:.0f} s, {mib} MiB free, {swap} MiB of swap", flush=True)
    if child.returncode == -9:
        raise MachineError(
            f"the build of {name} was killed: the kernel does that when memory runs out (least "
            f"seen free: {least_mib} MiB). Stop the desktop: sudo systemctl isolate "
            "multi-user.target; add swap (README, Memory); or build --workspace 64. The engine "
            "before it stays"
        )
    if child.returncode:
        raise MachineError(f"the build of {name} failed, see above; the engine before it stays")


# -------------------------------------------------------------------------------------- 12 cameras

#: What `--camera csi` stands for: a CSI camera through NVIDIA's pipeline.
CSI_PIPELINE = (
    "nvarguscamerasrc sensor-id={sensor} ! "
    "video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! "
    "nvvidconv flip-method={flip} ! video/x-raw,format=BGRx ! videoconvert ! "
    "video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
)


class NewestFrame:
    """Reads a camera as fast as frames come and keeps the last one.

    The kernel's driver queues frames: whoever computes longer than a frame takes would see ever
    older ones. It ends when the camera does.
    """

    def __init__(self, capture: Any) -> None:
        self._capture, self._changed = capture, threading.Condition()
        self._frame, self._ended = None, False  # type: Any, bool
        threading.Thread(target=self._run, daemon=True).start()

    def read(self) -> Tuple[bool, Any]:
        """Wait for a frame that was not handed out yet; (False, None) when there is none more."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended)
            frame, self._frame = self._frame, None
        return frame is not None, frame

    def release(self) -> None:
        """Close the camera; called after its end."""
        self._capture.release()

    def _run(self) -> None:
        arrived = True
        while arrived:
            frame = None
            try:
                arrived, frame = self._capture.read()
                frame = frame if arrived else None
            finally:
                with self._changed:
                    self._frame, self._ended = frame, frame is None
                    self._changed.notify()


def shots_from_camera(
    source: str, image: ImageSpec, wait: Any = time.sleep, sensor: int = 0, flip: int = 0
) -> Iterator[Shot]:
    """Yield frames for ever; a camera that fails is opened again, after 0.5 s to 15 s.

    `sensor` and `flip` are those of `csi`: which camera, and NVIDIA's number of the turn.
    """
    try:
        import cv2
    except ImportError as error:
        raise MachineError(
            "a camera needs OpenCV (JetPack's python3-opencv; of a container: docs/jetson.md, "
            f"Containers): {error}"
        ) from error
    where = CSI_PIPELINE.format(sensor=sensor, flip=flip) if source == "csi" else source
    is_live = where.isdigit() or where.startswith("/dev/") or "://" in where
    delay_s, number = 0.5, 0
    while True:
        kind = cv2.CAP_GSTREAMER if "!" in where else cv2.CAP_ANY
        camera = cv2.VideoCapture(int(where) if where.isdigit() else where, kind)
        capture = NewestFrame(camera) if is_live else camera  # type: Any
        arrived, frame = capture.read()
        while arrived:
            delay_s, number = 0.5, number + 1
            yield Shot(f"frame {number}", to_color(frame[..., ::-1], image.color), None, None)
            arrived, frame = capture.read()
        capture.release()
        notify_systemd("WATCHDOG=1")  # it is the camera that fails, not this program
        print(f"camera {source}: no picture; trying again in {delay_s} s", file=sys.stderr)
        wait(delay_s)
        delay_s = min(2 * delay_s, 15.0)


# ----------------------------------------------------------------------------- 13 HTTP and systemd

MAX_BODY_BYTES = 32 * MIB
#: An answer that takes longer than this is stuck; the watchdog is then no longer fed.
STUCK_S = 20.0


def notify_systemd(message: str) -> None:
    """Tell systemd a state, as sd_notify does; nothing happens outside a unit."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(message.encode(), address.replace("@", "\0", 1))


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Answers POST / with a picture as body, and GET /health."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, address: Tuple[str, int], model: Any, ask: Callable[..., Json]) -> None:
        super().__init__(address, Handler)
        self.model, self.answered = model, 0
        self._ask, self._turn, self._since_s = ask, threading.Lock(), math.inf
        notify_systemd("READY=1")

    def service_actions(self) -> None:
        """Feed the watchdog, unless an answer is stuck; `serve_forever` calls this every 0.5 s."""
        if not self.stuck():
            notify_systemd("WATCHDOG=1")

    def stuck(self) -> bool:
        """Return whether an answer takes too long."""
        return time.monotonic() - self._since_s > STUCK_S

    def answer(self, body: bytes, query: Json) -> Json:
        """Answer for one encoded picture; one at a time, for the GPU does no two at once."""
        shot = Shot("request", decode_picture(body, self.model.image), None, None)
        with self._turn:
            self._since_s = time.monotonic()
            try:
                self.answered += 1
                return self._ask(self.model, shot, query)
            finally:
                self._since_s = math.inf


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    timeout = 30.0
    protocol_version = "HTTP/1.1"
    server = None  # type: Any

    def do_GET(self) -> None:
        """Answer /health."""
        if self.path != "/health":
            self._send(404, {"error": "known are GET /health and POST / with a picture as body"})
            return
        model, memory = self.server.model, getattr(self.server.model, "memory", None)
        state = {"status": "ok", "model": model.name, "answered": self.server.answered}
        state["memory"] = None if memory is None else memory.counts
        self._send(503 if self.server.stuck() else 200, state)

    def do_POST(self) -> None:
        """Answer for the picture in the body."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            error = f"Content-Length is {length!r}, expected 1 to {MAX_BODY_BYTES}"
            self._send(413 if length.isdigit() else 411, {"error": error})
            return
        body = self.rfile.read(int(length))
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        try:
            self._send(200, self.server.answer(body, query))
        except JetsonError as error:
            status = 500 if isinstance(error, MachineError) else 400
            self._send(status, {"error": str(error)})

    def log_message(self, *arguments: Any) -> None:
        """Stay silent: a device in the field has a small disk."""

    def _send(self, status: int, value: Json) -> None:
        data = json.dumps(value).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


# --------------------------------------------------------------------------------------- 14 energy

#: Rails that carry the whole module, by name; the other rails are parts of them.
TOTAL_RAILS = ("POM_5V_IN", "VDD_IN")
#: 97.5 % quantile of Student's t for 3 to 10 windows; for more it is an upper bound.
T_975 = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class PowerRail:
    """The INA3221 of a Jetson: total power in watts, from either layout of sysfs."""

    def __init__(self, root: Path = Path("/sys/bus/i2c/drivers")) -> None:
        files = {}
        for path in sorted(root.glob("ina3221*/*/iio:device*/rail_name_*")):
            number = path.name.rsplit("_", 1)[1]
            files[path.read_text().strip()] = [path.with_name(f"in_power{number}_input")]
        for path in sorted(root.glob("ina3221*/*/hwmon/hwmon*/in*_label")):
            both = [path.with_name(f"{one}{path.name[2:-6]}_input") for one in ("in", "curr")]
            files[path.read_text().strip()] = both
        found = [name for name in TOTAL_RAILS if name in files]
        if not found:
            raise MachineError(
                f"no INA3221 with a total rail under {root}; rails: {sorted(files)}. A Nano 2GB "
                "has no power monitor, an AGX Thor another one: use an external meter there"
            )
        self.name, self._files = found[0], files[found[0]]

    def power_w(self) -> float:
        """Read the power: mW, or mV times mA."""
        try:
            values = [int(path.read_text()) for path in self._files]
        except (OSError, ValueError) as error:
            raise MachineError(f"cannot read {self._files[0]} (try sudo): {error}") from error
        return values[0] * 1e-3 if len(values) == 1 else values[0] * values[1] * 1e-6


def measure_window(read: Callable[[], float], work: Callable[[], Any], seconds: float) -> Json:
    """Work for a while and integrate the power by trapezoids, with reads at both edges."""
    times_s, powers_w, count = [time.monotonic()], [read()], 0
    while times_s[-1] - times_s[0] < seconds:
        while time.monotonic() < times_s[-1] + 0.05:
            work()
            count += 1
        times_s.append(time.monotonic())
        powers_w.append(read())
    steps_s, powers = np.diff(times_s), np.array(powers_w)
    energy_j = float((steps_s * (powers[1:] + powers[:-1]) / 2).sum())
    changes_j = np.diff(powers) * steps_s
    lone_j = np.minimum(abs(changes_j[1:]), abs(changes_j[:-1]))[changes_j[1:] * changes_j[:-1] < 0]
    # A change came at any moment of a step; one reading apart may be a burst seen by chance.
    timing_j = math.sqrt(float((changes_j @ changes_j) / 12 + (lone_j @ lone_j) * 10 / 12))
    checks = [
        (len(set(powers_w)) < 2, "the sensor's reading never changed: it is stuck"),
        (steps_s.max() > 0.5, f"no reading for {steps_s.max():.1f} s"),
        (times_s[-1] - times_s[0] < 10.0, "the window is shorter than 10 s"),
        (timing_j > 0.01 * energy_j, "the power changes between readings: uncertain by over 1 %"),
    ]
    reason = next((reason for fails, reason in checks if fails), None)
    window = {"energy_j": energy_j, "duration_s": times_s[-1] - times_s[0], "inferences": count}
    window["timing_j"] = 2.0 * timing_j  # the expanded uncertainty, k = 2: about 95 %
    return dict(window, reads=len(powers_w), valid=reason is None, reason=reason)


def joules_per_inference(windows: List[Json], idle_w: float) -> Optional[Json]:
    """Return the median over the valid windows, and its 95 % interval's half width."""
    values = [
        (one["energy_j"] - idle_w * one["duration_s"]) / one["inferences"]
        for one in windows
        if one["valid"]
    ]
    if len(values) < 3:
        return None
    t = T_975[min(len(values), 10) - 3]
    half = t * statistics.stdev(values) / math.sqrt(len(values))
    return {"median_j": statistics.median(values), "ci95_half_width_j": half, "n": len(values)}


# --------------------------------------------------------------------------------- 15 command line


def classified(model: Any, shot: Shot, query: Json) -> Json:
    """Classify one picture."""
    answer = model.predict(canonical_from_picture(shot.picture, model.image))
    probabilities = answer.probabilities[0]
    label, confidence = model.labels[int(probabilities.argmax())], float(answer.confidence[0])
    return {
        "picture": shot.name,
        "label": label,
        "confidence": confidence,
        "stage": answer.stage,
        "confidence_a": answer.confidence_a,
        "probabilities": probabilities.tolist(),
    }


def driven(model: Any, shot: Shot, query: Json) -> Json:
    """Steer for one picture."""
    try:
        speed_mps = float(query["speed_mps"]) if shot.speed_mps is None else shot.speed_mps
        name = query["command"] if shot.command is None else str(shot.command)
        command = COMMANDS[name] if name in COMMANDS else int(name)
    except (KeyError, ValueError, TypeError) as error:
        known = ", ".join(COMMANDS)
        raise JetsonError(f"speed_mps and command ({known}) are needed: {error!r}") from error
    return dict(model.act(shot.picture, speed_mps, command), picture=shot.name)


class Bundle:
    """The folder of this file: which model it holds, and how it is to run."""

    def __init__(self, options: argparse.Namespace, open_engine: Optional[OpenEngine]) -> None:
        self.folder = Path(options.bundle)
        self.engines = Path(options.engines or self.folder / "engines")
        content = read_json(self.folder / "bundle.json", "bundle's description")
        try:
            self.sidecars = [Sidecar(self.folder / "models" / one) for one in content["models"]]
            self.correction, self.settings = content["correction"], content["correction_settings"]
            self.precision = content["precision"]
        except KeyError as error:
            raise JetsonError(f"{self.folder}/bundle.json lacks {error}; copy it again") from None
        self.kind, self._open = self.sidecars[0].kind, open_engine or self._open_tensorrt
        networks = [one for sidecar in self.sidecars for one in sidecar.networks()]
        self.networks = list({one.name: one for one in networks}.values())  # each once

    def load(self) -> Tuple[Any, Callable[[Any, Shot, Json], Json]]:
        """Load the model, and what asks it about a picture."""
        if self.kind != "agent":
            return load_classifier(self.sidecars[0], self._open), classified
        used = self.sidecars if self.correction == "second_opinion" else self.sidecars[:1]
        networks = [DualHeadNetwork(sidecar, self._open(sidecar)) for sidecar in used]
        return DrivingAgent(networks, self.correction, self.settings), driven

    def active_engine(self, sidecar: Sidecar) -> Json:
        """Return the record of a network's engine, if this device can use it."""
        store = EngineStore(self.engines, sidecar)
        return store.check(store.named("active"), device_identity())

    def _open_tensorrt(self, sidecar: Sidecar) -> TensorRtEngine:
        plan = EngineStore(self.engines, sidecar).load(device_identity())
        return TensorRtEngine(plan, sidecar.input_shapes)


def answer_pictures(bundle: Bundle, options: argparse.Namespace) -> int:
    """`classify`, `cascade`, `drive`: answer for files or a camera, a JSON object a line."""
    kinds = {"classify": ("classifier", "cascade"), "cascade": ("cascade",), "drive": ("agent",)}
    if bundle.kind not in kinds[options.command]:
        raise JetsonError(f"this bundle holds a {bundle.kind}; `{options.command}` cannot run it")
    if bool(options.pictures) == bool(options.camera):
        raise JetsonError("give picture files or --camera, one of the two")
    model, ask = bundle.load()
    query = {"speed_mps": options.speed_mps, "command": options.navigation}
    sources = [(one, shots_from_file(Path(one), model.image)) for one in options.pictures]
    if options.camera:
        turned = {"sensor": options.sensor_id, "flip": options.flip}
        sources = [("camera", shots_from_camera(options.camera, model.image, **turned))]
    failed = 0
    notify_systemd("READY=1")
    for name, shots in sources:
        try:
            for shot in shots:
                print(json.dumps(ask(model, shot, query)), flush=True)
                notify_systemd("WATCHDOG=1")
        except MachineError:
            raise
        except JetsonError as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed += 1
    return 0 if not failed else 1 if failed < len(sources) else 2


def serve(bundle: Bundle, options: argparse.Namespace) -> int:
    """`serve`: answer over HTTP until stopped."""
    model, ask = bundle.load()
    with Server((options.host, options.port), model, ask) as server:
        where = f"http://{options.host}:{server.server_address[1]}/"
        print(f"{model.name} answers POST {where}", file=sys.stderr, flush=True)
        server.serve_forever()
    return 0


def build(bundle: Bundle, options: argparse.Namespace) -> int:
    """`build`: make the engines that are not there; each in a process of its own."""
    precision = options.precision or bundle.precision
    if "int8" in (precision, bundle.precision) and precision != bundle.precision:
        raise JetsonError(
            f"the graphs are made for {bundle.precision} engines; int8 needs other graphs than "
            f"fp16 and fp32: bicameral export --bundle --precision {precision}"
        )
    device_identity()  # without a device nothing begins
    bundle.engines.mkdir(parents=True, exist_ok=True)
    for number, sidecar in enumerate(bundle.networks, 1):
        if options.only:
            if options.only == sidecar.name:
                store = EngineStore(bundle.engines, sidecar)
                build_one(sidecar, store, precision, options.workspace)
            continue
        try:
            usable = bundle.active_engine(sidecar)["precision"] == precision
        except JetsonError:
            usable = False
        if usable and not options.again:
            print(f"{sidecar.name}: the engine is there")
            continue
        mib = options.workspace or min(max(memory_mib()[0] // 4, 64), 256)  # by what is free
        what = f"{sidecar.name}, {number} of {len(bundle.networks)}, {precision}"
        print(f"building {what} with {mib} MiB; this takes minutes on a Nano", flush=True)
        command = [sys.executable, os.path.abspath(__file__), "--bundle", str(bundle.folder)]
        command += ["--engines", str(bundle.engines), "build", "--only", sidecar.name]
        run_watched(command + ["--precision", precision, "--workspace", str(mib)], sidecar.name)
    return 0


def roll_back(bundle: Bundle, options: argparse.Namespace) -> int:
    """`rollback`: go back to the engines before the last build; again: forward."""
    identity = device_identity()
    stores = [EngineStore(bundle.engines, one) for one in bundle.networks]
    for store in stores:  # all networks or none
        store.roll_back(identity, swap=False)
    for store in stores:
        print(f"now {store.roll_back(identity, swap=True)}")
    return 0


def measure(bundle: Bundle, options: argparse.Namespace) -> int:
    """`measure`: joules per inference of one picture, between two times of idling, as JSON."""
    rail = PowerRail()
    model, ask = bundle.load()
    shot = next(shots_from_file(Path(options.picture), model.image))
    model.memory = None  # or every picture after the first would be a duplicate
    query = {"speed_mps": "5", "command": "lane_follow"}
    report = {"model": model.name, "rail": rail.name, "power_mode": power_mode()}

    def window(seconds: float, work: Any = lambda: ask(model, shot, query)) -> Json:
        return measure_window(rail.power_w, work, seconds)

    idle = [window(options.idle, lambda: time.sleep(0.05))]
    window(5.0)  # warms up
    found = [window(options.seconds) for _ in range(options.windows)]
    idle.append(window(options.idle, lambda: time.sleep(0.05)))
    idle_w = statistics.mean(one["energy_j"] / one["duration_s"] for one in idle)
    report.update(idle_w=idle_w, idle=idle, windows=found, power_mode_after=power_mode())
    report.update(gross=joules_per_inference(found, 0), net=joules_per_inference(found, idle_w))
    print(json.dumps(report, indent=2))
    return 0


def power_mode() -> str:
    """Return what nvpmodel says."""
    try:
        return subprocess.check_output(["/usr/sbin/nvpmodel", "-q"]).decode().strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown, nvpmodel does not answer: {error}"


def doctor(bundle: Bundle, options: argparse.Namespace) -> int:
    """`doctor`: say what this device has, and what to do about the rest."""
    checks = [
        ("python and numpy", lambda: f"{platform.python_version()}, {np.__version__}"),
        ("memory and swap free, MiB", memory_mib),
        ("power mode", power_mode),
        ("device", device_identity),
        ("graphs", lambda: {one.name: len(one.graph()) for one in bundle.networks}),
        ("engines", lambda: {one.name: bundle.active_engine(one) for one in bundle.networks}),
        ("power rail", lambda: PowerRail().name),
    ]  # type: List[Tuple[str, Callable[[], Any]]]
    status = 0
    for name, check in checks:
        try:
            print(f"ok       {name}: {check()}")
        except JetsonError as error:
            print(f"missing  {name}: {error}")
            status = error.exit_code if name != "power rail" else status
    return status


def parse_arguments(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--bundle", default=here, help="folder of bundle.json")
    parser.add_argument("--engines", help="folder of the engines (default: BUNDLE/engines)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, run: Callable[[Bundle, argparse.Namespace], int]) -> Any:
        one = commands.add_parser(name, help=str(run.__doc__).split(": ", 1)[1])
        one.set_defaults(run=run)
        return one

    command("doctor", doctor)
    command("rollback", roll_back)
    one = command("build", build)
    one.add_argument("--precision", choices=sorted(TOLERANCES), help="default: the bundle's")
    one.add_argument("--workspace", type=int, help="MiB; default: by free memory, 64 to 256")
    one.add_argument("--again", action="store_true", help="also where an engine is there")
    one.add_argument("--only", help=argparse.SUPPRESS)
    for name in ("classify", "cascade", "drive"):
        one = command(name, answer_pictures)
        one.add_argument("pictures", nargs="*", help="PGM, PPM, PNG, JPEG, .npy or .npz")
        one.add_argument("--camera", help="number, csi, URL, or GStreamer pipeline to an appsink")
        one.add_argument("--sensor-id", type=int, default=0, help="which camera, for csi")
        one.add_argument("--flip", type=int, choices=range(8), default=0, help="2: by 180, for csi")
        one.add_argument("--speed-mps", help="forward speed, for drive")
        one.add_argument("--navigation", help=f"for drive: {', '.join(COMMANDS)}")
    one = command("serve", serve)
    one.add_argument("--host", default="127.0.0.1", help="0.0.0.0: reachable for everybody")
    one.add_argument("--port", type=int, default=8080)
    one = command("measure", measure)
    one.add_argument("picture")
    for name, number in (("--windows", 5), ("--seconds", 10), ("--idle", 30)):
        one.add_argument(name, type=int, default=number, help=f"default: {number}")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.error("a command is needed: " + ", ".join(sorted(commands.choices)))
    return options


def utf8(stream: Any) -> Any:
    """Return a text stream that writes UTF-8 whatever the locale says (Python 3.6 under C)."""
    if (stream.encoding or "").lower().replace("-", "") == "utf8":
        return stream
    return io.TextIOWrapper(stream.detach(), "utf-8", "surrogateescape", line_buffering=True)


def main(words: Optional[Sequence[str]] = None, open_engine: Optional[OpenEngine] = None) -> int:
    """Run a command and return its exit code: 0, 1 some, 2 input, 3 device, 4 no engine."""
    sys.stdout, sys.stderr = utf8(sys.stdout), utf8(sys.stderr)
    options = parse_arguments(words)
    try:
        return int(options.run(Bundle(options, open_engine), options))
    except JetsonError as error:
        print(f"error: {error}", file=sys.stderr)
        notify_systemd(f"STATUS={error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
