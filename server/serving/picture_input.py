"""Encoded pictures of a request, on their way to canonical images.

Small ones are decoded on the event loop, where that is cheaper than going to a thread and back;
others in a thread, and large ones one at a time, so that nobody waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ImageFormat
from edge.encoded_pictures import EncodedPicture, read_encoded_picture
from edge.pictures import decode_encoded_picture, decode_with_opacity
from server.errors import RequestError
from server.limits import BatchLimits, RequestLimits
from server.serving.long_work import LongWork

# Rough upper bounds, on one AVX-512 core of 2 GHz: reading a picture's header and checksums,
# decoding noise as PNG, and the area resize of three channels, for pixels before and after.
_HEADER_S, _BYTE_S = 5e-6, 1e-9
_DECODE_PIXEL_S = 25e-9
# Going over the pixels once more, and 16 bits with transparency.
_SCAN_PIXEL_S, _DEEP_PIXEL_S = 10e-9, 130e-9
_RESIZE_PIXEL_S, _RESIZE_LINE_S = 10e-9, 20e-6

#: Requests whose pictures take longer, or one of them more memory, are decoded one at a time.
_LARGE_S: Final = 0.04
_LARGE_BYTES: Final = 16 << 20

#: Memory that decoding may take for each pixel that is allowed: 100 MB for 16 megapixels, which is
#: what a JPEG of that size takes.
_MOST_PIXEL_BYTES: Final = 6.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTarget:
    """What pictures become.

    Attributes:
        image: The canonical image.
        prepare: Crops and resizes decoded pictures, as `ClassifierSession.prepare` does.
        observed: Does the same to what tells how opaque a picture is, (H, W, 1) uint8: where it was
            observed, (height, width). The images then have one more channel, 255 there and else 0.
            None: what is transparent becomes background.
    """

    image: ImageFormat
    prepare: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.uint8]]
    observed: Callable[[NDArray[np.uint8]], NDArray[np.bool_]] | None = None


class PictureDecoder:
    """Decodes the pictures of all models of a process.

    Attributes:
        work: Where it does so, if it takes long.
    """

    def __init__(self, requests: RequestLimits, batching: BatchLimits) -> None:
        """Begin.

        Args:
            requests: Limits on pictures and pixels.
            batching: How long something may take on the event loop, and how many requests may wait
                for a thread.
        """
        self._requests = requests
        self._batching = batching
        self.work = LongWork(requests, batching)

    async def canonical(
        self, pictures: Sequence[bytes], target: PictureTarget
    ) -> NDArray[np.uint8]:
        """Return canonical images (N, height, width, C) uint8.

        Args:
            pictures: N encoded pictures, at least 1.
            target: What becomes of them.

        Raises:
            RequestError: 415 if one cannot be decoded, and which; 413 if there are too many, or too
                many pixels, or one takes too much memory; 429 and 503 as `LongWork`.
        """
        if not 0 < len(pictures) <= self._requests.max_rows:
            raise RequestError(
                413 if pictures else 400,
                f"the request has {len(pictures)} pictures, expected 1..{self._requests.max_rows}",
            )
        cost_s = _HEADER_S * len(pictures) + _BYTE_S * sum(map(len, pictures))
        if cost_s <= self._batching.in_place_s:
            encoded = self._encoded(pictures)
        else:
            encoded = await self.work.do(partial(self._encoded, pictures))
        for picture in encoded:
            cost_s += _decoding_s(picture, target.image)
        if cost_s <= self._batching.in_place_s:
            return self._decoded(encoded, target)
        decode = partial(self._decoded, encoded, target)
        # Turning a picture upright takes it twice, too.
        twice = 2.0 * target.image.channels
        needed_bytes = max(max(twice, one.pixel_bytes) * one.pixels for one in encoded)
        if cost_s <= _LARGE_S and needed_bytes <= _LARGE_BYTES:
            return await self.work.do(decode)
        return await self.work.do_alone(decode)

    def _encoded(self, pictures: Sequence[bytes]) -> list[EncodedPicture]:
        """Read all headers, and refuse too many pixels or bytes before any is decoded."""
        encoded: list[EncodedPicture] = []
        pixels, heavy = 0, None
        for index, data in enumerate(pictures):
            try:
                picture = read_encoded_picture(data)
            except DataError as error:
                raise _named(index, error) from error
            encoded.append(picture)
            own = picture.pixels
            pixels += own
            if picture.pixel_bytes * own > _MOST_PIXEL_BYTES * self._requests.max_pixels:
                heavy = heavy or _too_heavy(index, picture, self._requests.max_pixels)
        if pixels > self._requests.max_pixels:
            raise RequestError(
                413,
                f"the request's pictures have {pixels:,} pixels, allowed are "
                f"{self._requests.max_pixels:,}; reduce them",
            )
        if heavy is not None:
            raise heavy
        return encoded

    def _decoded(
        self, pictures: Sequence[EncodedPicture], target: PictureTarget
    ) -> NDArray[np.uint8]:
        """Decode and prepare one after the other, so that only one is held in full size."""
        image = target.image
        channels = image.channels + (target.observed is not None)
        canonical = np.empty((len(pictures), image.height, image.width, channels), np.uint8)
        for index, picture in enumerate(pictures):
            try:
                if target.observed is None:
                    decoded = decode_encoded_picture(
                        picture, image, max_pixels=self._requests.max_pixels
                    )
                    canonical[index] = target.prepare([decoded])[0]
                    continue
                decoded, opacity = decode_with_opacity(
                    picture, image, max_pixels=self._requests.max_pixels
                )
                canonical[index, ..., :-1] = target.prepare([decoded])[0]
                canonical[index, ..., -1] = 255 * target.observed(opacity)
            except DataError as error:
                raise _named(index, error) from error
        return canonical


def _decoding_s(picture: EncodedPicture, image: ImageFormat) -> float:
    """Estimate the time for decoding and resizing."""
    pixel_s = _DEEP_PIXEL_S if picture.bit_depth > 8 else _DECODE_PIXEL_S
    decoding_s = (pixel_s + _SCAN_PIXEL_S * (picture.scans - 1)) * picture.pixels
    if (picture.height, picture.width) == (image.height, image.width):
        return decoding_s
    lines = image.height + image.width
    return decoding_s + _RESIZE_PIXEL_S * picture.pixels + _RESIZE_LINE_S * lines


def _too_heavy(index: int, picture: EncodedPicture, max_pixels: int) -> RequestError:
    """Refuse a picture of few enough pixels whose pixels are too large."""
    return RequestError(
        413,
        f"picture {index}: decoding a {picture.format} of this kind with {picture.width} x "
        f"{picture.height} pixels takes {picture.pixel_bytes * picture.pixels / 1e6:.0f} MB of "
        f"memory, allowed are {_MOST_PIXEL_BYTES * max_pixels / 1e6:.0f} MB; reduce it, or save it "
        "with 8 bits and no transparency",
    )


def _named(index: int, error: DataError) -> RequestError:
    return RequestError(415, f"picture {index}: {error}")
