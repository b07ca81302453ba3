"""Formats of pictures that are read from files of one's own and never taken from others.

OpenCV and Pillow decode them without a look at their frames first, so a small file may cost much.
Pillow comes with the extra `train`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, MissingExtraError
from edge.encoded_pictures import require_pixels

#: Endings that OpenCV knows; what it cannot decode of them is left to Pillow.
_OPENCV_SUFFIXES = (".tif", ".tiff", ".gif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm")

#: Endings that only Pillow knows, by its name of the format. Its formats of drawings, films,
#: measurements and cursors are left out.
_PILLOW_FORMATS = {
    "DDS": (".dds",),
    "DIB": (".dib",),
    "ICNS": (".icns",),
    "ICO": (".ico",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "PCX": (".pcx",),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "TGA": (".tga",),
    "XBM": (".xbm",),
    "XPM": (".xpm",),
}
#: Of these the content alone is enough, so that a file may have another one's ending.
_KNOWN_BY_CONTENT = ("AVIF", "DDS", "GIF", "JPEG2000", "PPM", "PSD", "QOI", "TIFF")

_FORMAT_BY_SUFFIX = {suffix: name for name, of in _PILLOW_FORMATS.items() for suffix in of}

#: Endings of pictures that only this module reads, in lower case.
LOCAL_SUFFIXES = (*_OPENCV_SUFFIXES, *_FORMAT_BY_SUFFIX)


def decode_local_picture(path: Path, data: bytes, max_pixels: int) -> NDArray[Any] | None:
    """Decode a file's content.

    Args:
        path: The file, whose ending tells the format where the content does not.
        data: Its content.
        max_pixels: Refuse larger pictures.

    Returns:
        (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16, upright; None: the format is none
        of these.

    Raises:
        DataError: If it is damaged, too large, or not one picture of 8 or 16 bits.
        MissingExtraError: If it needs Pillow, which is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in _OPENCV_SUFFIXES:
        pixels = _decode_with_opencv(path, data)
        if pixels is not None:
            require_pixels(suffix[1:].upper(), pixels.shape[1], pixels.shape[0], max_pixels)
            return pixels
    pixels = _decode_with_pillow(suffix, data, max_pixels)
    if pixels is None and suffix in _OPENCV_SUFFIXES:
        raise DataError(
            f"it is damaged, or no {suffix[1:].upper()} picture (it starts with "
            f"{data[:8].hex(' ')})"
        )
    return pixels


def _decode_with_opencv(path: Path, data: bytes) -> NDArray[Any] | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None:
        return None
    if (pictures := cv2.imcount(str(path))) > 1:
        raise DataError(f"it holds {pictures} pictures (frames or pages), expected one")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"its pixels are {pixels.dtype}, expected 8 or 16 bits per channel")
    return np.asarray(pixels)


def _decode_with_pillow(suffix: str, data: bytes, max_pixels: int) -> NDArray[Any] | None:
    own = _FORMAT_BY_SUFFIX.get(suffix)
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        if own is None:
            return None
        raise MissingExtraError("pillow", "train") from None
    try:
        with Image.open(io.BytesIO(data), formats=(own,) if own else _KNOWN_BY_CONTENT) as picture:
            kind = picture.format or suffix
            # A PSD counts its layers; what is shown is all of them together.
            if (pictures := getattr(picture, "n_frames", 1)) > 1 and kind != "PSD":
                raise DataError(f"it holds {pictures} pictures (frames or pages), expected one")
            require_pixels(kind, picture.width, picture.height, max_pixels)
            return _bgr_from_pillow(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        if own is None:
            return None
        raise DataError(f"it is no picture of the format {own}") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"Pillow cannot decode it: {error}") from error


def _bgr_from_pillow(picture: Any) -> NDArray[Any]:
    """Return (H, W), (H, W, 3) BGR or (H, W, 4) BGRA of a picture as Pillow has it."""
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("I", "F"):
        raise DataError("its pixels are wider than 16 bits per channel, expected 8 or 16")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))[..., [2, 1, 0, 3]]
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))
    return np.asarray(picture.convert("RGB"))[..., ::-1]
