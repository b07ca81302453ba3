"""From an encoded picture to the pixels that `edge.preprocessing` takes.

OpenCV decodes; everything that its flags leave open is decided here: the EXIF orientation is
applied, 16 bits become 8, transparency gets a background, and colours become those of the model.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ImageFormat
from edge.encoded_pictures import (
    EncodedPicture,
    picture_format,
    read_encoded_picture,
    require_pixels,
)
from edge.local_pictures import LOCAL_SUFFIXES, decode_local_picture

#: Pictures with more pixels are refused before they are decoded: 8,000 x 8,000.
MAX_PIXELS = 64_000_000

#: File names that end so are pictures (compared in lower case).
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp"),
    *LOCAL_SUFFIXES,
)

#: Pixels that are turned into colours at a time: what that needs beside them stays small.
_BAND_PIXELS = 1 << 17

#: Levels that coefficients of 0 become: grey, and of CMYK its half of half.
_FILLED = frozenset({64, 65, 127, 128})
#: Bytes that no decoder takes for nothing, or for a marker.
_MORE = bytes(7 * index % 251 for index in range(1, 240))

#: Weights of R, G and B in a grey level, ITU-R BT.601, in units of 1/65536; they sum to one.
_GREY_WEIGHTS = (19595, 38470, 7471)


def read_picture(path: Path, spec: ImageFormat) -> NDArray[np.uint8]:
    """Decode a file of one's own with `decode_picture`; errors name the file.

    Formats that `decode_picture` does not know are left to `edge.local_pictures`.

    Raises:
        DataError: If the file cannot be read or decoded.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read the picture {path}: {error.strerror or error}") from error
    try:
        if data and picture_format(data) is None:
            stored = decode_local_picture(path, data, MAX_PIXELS)
            if stored is not None:
                return _opaque(stored, None, spec)
        return decode_picture(data, spec)
    except DataError as error:
        raise DataError(f"cannot use the picture {path}: {error}") from error


def read_picture_with_opacity(
    path: Path, spec: ImageFormat
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Do what `read_picture` does, and return what `decode_with_opacity` does.

    What `edge.local_pictures` reads counts as opaque.

    Raises:
        DataError: If the file cannot be read or decoded.
    """
    pixels = read_picture(path, spec)
    data = path.read_bytes()
    if picture_format(data) is None:
        return pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)
    return decode_with_opacity(read_encoded_picture(data), spec)


def decode_picture(
    data: bytes, spec: ImageFormat, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a picture into the colours of a model.

    The result is upright (EXIF orientation), 8 bits deep (16 bits are rounded) and opaque. The
    transparent parts of a picture become white for a model of colour pictures. For a model of
    grey pictures they become what is black to the network (the MNIST family shows light things on
    black): black, or white where the sidecar inverts. Nothing is cropped, resized or inverted:
    that is `edge.preprocessing.canonical_from_picture`'s.

    Args:
        data: A JPEG (also CMYK), PNG, WebP or BMP file; recognised by content.
        spec: What the model sees; a sidecar's image block is one.
        max_pixels: Refuse larger pictures, before any of their pixels are decoded.

    Returns:
        (H, W, C) uint8, C-contiguous, C = 1 or 3 in the order of `spec.color`.

    Raises:
        DataError: If it is no such picture, is damaged, cut off, animated or too large.
    """
    return decode_encoded_picture(read_encoded_picture(data), spec, max_pixels=max_pixels)


def decode_with_opacity(
    encoded: EncodedPicture, spec: ImageFormat, *, max_pixels: int = MAX_PIXELS
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Do what `decode_encoded_picture` does, and also return how opaque each pixel was.

    Returns:
        The picture; and (H, W, 1) uint8, 255 where nothing shines through.

    Raises:
        DataError: If it is damaged, cut off or too large.
    """
    pixels = decode_encoded_picture(encoded, spec, max_pixels=max_pixels)
    alpha = _opacity(_decode(encoded.content, encoded.format), encoded)
    if alpha is None:
        return pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)
    return pixels, np.ascontiguousarray(_upright(alpha, encoded.orientation))


def decode_encoded_picture(
    encoded: EncodedPicture, spec: ImageFormat, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Do the second half of `decode_picture`, for those who want to know the size in between."""
    require_pixels(encoded.format, encoded.width, encoded.height, max_pixels)
    stored = _decode(encoded.content, encoded.format)
    if encoded.format == "JPEG" and _may_be_filled(stored):
        digest = blake2b(stored.data).digest()
        del stored  # one at a time is enough
        stored = _decode_with_more(encoded.content)
        if blake2b(stored.data).digest() != digest:
            raise DataError("the JPEG's data ends before its last row; it is cut off")
    height, width = stored.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    if height <= rows:
        pixels = _opaque(stored, encoded, spec)
    else:
        pixels = _place_for((height, width, 1 if spec.color == "GRAY" else 3), stored)
        for row in range(0, height, rows):
            pixels[row : row + rows] = _opaque(stored[row : row + rows], encoded, spec)
        del stored
    if encoded.orientation != 1:
        pixels = np.ascontiguousarray(_upright(pixels, encoded.orientation))
    return pixels


def _place_for(shape: tuple[int, int, int], stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array for pixels: the memory of the stored ones, if they are at least as large.

    Who goes through the rows in order has read each one before it is overwritten.
    """
    size = math.prod(shape)
    if stored.nbytes < size or not stored.flags.c_contiguous:
        return np.empty(shape, np.uint8)
    return stored.reshape(-1).view(np.uint8)[:size].reshape(shape)


def _opaque(
    stored: NDArray[Any], encoded: EncodedPicture | None, spec: ImageFormat
) -> NDArray[np.uint8]:
    """Turn decoded pixels into opaque ones of a model's depth and colours.

    Args:
        stored: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16.
        encoded: What its head says, as of a transparent level of grey; None: nothing.
        spec: What the model sees.
    """
    alpha = _opacity(stored, encoded)
    pixels = stored[..., :3] if stored.ndim == 3 else stored[..., None]
    if stored.dtype != np.uint8:
        pixels = _eight_bits(pixels)
    if alpha is not None:
        pixels = _composite(pixels, alpha, _background(spec))
    return np.ascontiguousarray(_to_color(pixels, spec.color))


def _opacity(stored: NDArray[Any], encoded: EncodedPicture | None) -> NDArray[np.uint8] | None:
    """Return how opaque decoded pixels are, (H, W, 1); None: all of them are."""
    if stored.ndim == 3 and stored.shape[2] == 4:
        alpha = stored[..., 3:]
    elif encoded is not None and encoded.transparent_grey is not None:
        alpha = _transparent_grey(stored, encoded.transparent_grey, encoded.bit_depth)
    else:
        return None
    return alpha if stored.dtype == np.uint8 else _eight_bits(alpha)


def _decode(content: bytes, kind: str) -> NDArray[Any]:
    """Return the pixels as stored: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"OpenCV cannot decode the {kind}: {error}") from error
    if pixels is None:
        raise DataError(f"the {kind} cannot be decoded; it is damaged or cut off")
    return np.asarray(pixels)


def _may_be_filled(pixels: NDArray[Any]) -> bool:
    """Whether the end of the last row of a JPEG is what libjpeg makes of missing data."""
    last = pixels[-1, -4:]
    return int(last.flat[0]) in _FILLED and bool((last == last.flat[0]).all())


def _decode_with_more(jpeg: bytes) -> NDArray[Any]:
    """Decode a JPEG with more bytes before its end; one that is whole stays as it is.

    Of one whose data ends too early, whatever comes behind it, libjpeg fills up with grey what is
    missing, and tells nobody.
    """
    end = jpeg.rfind(b"\xff\xd9")
    return _decode(jpeg[:end] + _MORE + jpeg[end:], "JPEG")


def _transparent_grey(stored: NDArray[Any], level: int, bit_depth: int) -> NDArray[Any]:
    """Return the opacity (H, W, 1) of a grey PNG with a transparent level, as deep as stored."""
    # OpenCV passes over a transparent grey level. Depths below 8 it has stretched to 0..255.
    stretch = 255 // (2**bit_depth - 1) if bit_depth < 8 else 1
    opaque = np.iinfo(stored.dtype).max
    transparent = stored == level * stretch
    return np.where(transparent, 0, opaque).astype(stored.dtype)[..., None]


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Map 0..65535 to 0..255, rounding to the nearest."""
    return np.asarray((values.astype(np.uint32) + 128) // 257, np.uint8)


def _background(spec: ImageFormat) -> int:
    """Return the level of all channels behind a transparent picture."""
    if spec.color == "GRAY":
        return 255 if spec.invert else 0
    return 255


def _composite(
    color: NDArray[np.uint8], alpha: NDArray[np.uint8], background: int
) -> NDArray[np.uint8]:
    """Lay a picture (H, W, C) with opacity (H, W, 1) over an even background, with rounding."""
    opacity = alpha.astype(np.uint16)
    mixed = color * opacity + (255 - opacity) * np.uint16(background)  # at most 255 * 255
    return np.asarray((mixed + np.uint16(127)) // np.uint16(255), np.uint8)


def _to_color(pixels: NDArray[np.uint8], color: str) -> NDArray[np.uint8]:
    """Turn grey (H, W, 1) or BGR (H, W, 3) into GRAY, RGB or BGR."""
    is_grey = pixels.shape[2] == 1
    if color == "GRAY":
        return pixels if is_grey else _grey_from_bgr(pixels)
    if is_grey:
        return np.repeat(pixels, 3, axis=2)
    return pixels[..., ::-1] if color == "RGB" else pixels


def _grey_from_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weigh the channels in integers, rounding to the nearest: (H, W, 3) -> (H, W, 1)."""
    grey = np.full(pixels.shape[:2], 1 << 15, np.uint32)
    for channel, weight in zip((2, 1, 0), _GREY_WEIGHTS, strict=True):
        grey += pixels[..., channel] * np.uint32(weight)
    grey >>= 16
    return grey.astype(np.uint8)[..., None]


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation 1..8 (CIPA DC-008, tag 0x0112)."""
    if orientation >= 5:  # stored rows are the columns of what was seen
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
