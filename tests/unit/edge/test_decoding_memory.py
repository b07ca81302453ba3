"""What decoding a picture takes of memory, against what is said of it before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a peak that can be set"
    ),
]

#: Decodes pictures in a process of its own, whose memory nobody else changes.
PROGRAM = """
import io, json
import cv2, numpy as np
from PIL import Image
from edge.encoded_pictures import read_encoded_picture
from edge.pictures import decode_encoded_picture
from edge.sidecar import ImageSpec

SIDE = 1800
SPEC = ImageSpec(height=4, width=6, color="RGB", scale=1.0, mean=(0.5,) * 3, std=(0.2,) * 3)

def written(mode, kind, **how):
    file = io.BytesIO()
    Image.new(mode, (SIDE, SIDE)).save(file, kind, **how)
    return file.getvalue()

def png(channels, dtype):
    shape = (SIDE, SIDE, channels) if channels > 1 else (SIDE, SIDE)
    return bytes(cv2.imencode(".png", np.zeros(shape, dtype))[1])

def memory(name):
    status = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))

pictures = {f"PNG {c} {d.__name__}": png(c, d) for c in (1, 3, 4) for d in (np.uint8, np.uint16)}
pictures["PNG palette"] = written("P", "PNG")
pictures["PNG palette, transparent"] = written("P", "PNG", transparency=0)
pictures["PNG colour, transparent"] = written("RGB", "PNG", transparency=(0, 0, 0))
pictures["PNG grey and alpha"] = written("LA", "PNG")
for mode in ("L", "RGB", "CMYK"):
    for progressive in (False, True):
        for subsampling in (0, 2) if mode == "RGB" else (0,):
            how = {"progressive": progressive, "subsampling": subsampling}
            pictures[f"JPEG {mode} {how}"] = written(mode, "JPEG", **how)
for mode in ("RGB", "RGBA"):
    for lossless in (False, True):
        pictures[f"WebP {mode} {lossless}"] = written(mode, "WEBP", lossless=lossless)
    pictures[f"BMP {mode}"] = written(mode, "BMP")
decode_encoded_picture(read_encoded_picture(png(3, np.uint8)), SPEC)
found = {}
for name, content in pictures.items():
    picture = read_encoded_picture(content)
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    decode_encoded_picture(picture, SPEC)
    found[name] = (picture.pixel_bytes * picture.pixels, memory("VmHWM") - before)
print(json.dumps(found))
"""


def test_no_picture_takes_more_memory_than_it_is_said_to() -> None:
    # Whatever is freed goes back to the system at once.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "262144"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, check=True, env=environment
    )
    found = json.loads(done.stdout)
    assert len(found) >= 20
    # Turning grey into colours takes three bytes more for each pixel, and bands some megabytes.
    more_bytes = 3 * 1800**2 + (12 << 20)
    low = {name: both for name, both in found.items() if both[1] > both[0] + more_bytes}
    assert low == {}
    high = {name: both for name, both in found.items() if both[0] > 1.5 * both[1] + more_bytes}
    assert high == {}
