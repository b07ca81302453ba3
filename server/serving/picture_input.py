"""Encoded pictures of a request, on their way to canonical images.

Small ones are decoded on the event loop, where that is cheaper than going to a thread and back;
large ones in a thread, so that nobody waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.protocols import ImageFormat
from edge.encoded_pictures import EncodedPicture, read_encoded_picture
from edge.pictures import decode_encoded_picture
from server.errors import RequestError
from server.limits import BatchLimits, RequestLimits

# Rough upper bounds, on one AVX-512 core of 2 GHz: reading a picture's header and checksums,
# decoding noise as PNG, and the area resize of three channels, for pixels before and after.
_HEADER_S, _BYTE_S = 5e-6, 1e-9
_DECODE_PIXEL_S = 25e-9
# Going over the pixels once more, and 16 bits with transparency.
_SCAN_PIXEL_S, _DEEP_PIXEL_S = 10e-9, 130e-9
_RESIZE_PIXEL_S = 150e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureTarget:
    """What pictures become.

    Attributes:
        image: The canonical image.
        prepare: Crops and resizes decoded pictures, as `ClassifierSession.prepare` does.
    """

    image: ImageFormat
    prepare: Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.uint8]]


class PictureDecoder:
    """Decodes the pictures of all models of a process."""

    def __init__(self, requests: RequestLimits, batching: BatchLimits) -> None:
        """Begin without a thread; the first large picture starts it.

        Args:
            requests: Limits on pictures and pixels.
            batching: How long something may take on the event loop, and how many requests may wait
                for the thread.
        """
        self._requests = requests
        self._batching = batching
        self._thread: ThreadPoolExecutor | None = None
        self._waiting = 0

    async def canonical(
        self, pictures: Sequence[bytes], target: PictureTarget
    ) -> NDArray[np.uint8]:
        """Return canonical images (N, height, width, C) uint8.

        Args:
            pictures: N encoded pictures, at least 1.
            target: What becomes of them.

        Raises:
            RequestError: 415 if one cannot be decoded, and which; 413 if there are too many, or too
                many pixels; 429 if too many requests wait for the thread.
        """
        if not 0 < len(pictures) <= self._requests.max_rows:
            raise RequestError(
                413 if pictures else 400,
                f"the request has {len(pictures)} pictures, expected 1..{self._requests.max_rows}",
            )
        encoded: Sequence[EncodedPicture] | None = None
        cost_s = _HEADER_S * len(pictures) + _BYTE_S * sum(map(len, pictures))
        if cost_s <= self._batching.in_place_s:
            encoded = self._encoded(pictures)
            for picture in encoded:
                cost_s += _decoding_s(picture, target.image)
            if cost_s <= self._batching.in_place_s:
                return self._decoded(encoded, target)
        return await self._in_thread(
            lambda: self._decoded(encoded or self._encoded(pictures), target)
        )

    def close(self) -> None:
        """Stop the thread when it has finished what it began."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _encoded(self, pictures: Sequence[bytes]) -> list[EncodedPicture]:
        """Read all headers, and refuse too many pixels before any is decoded."""
        encoded, pixels = [], 0
        for index, data in enumerate(pictures):
            try:
                picture = read_encoded_picture(data)
            except DataError as error:
                raise _named(index, error) from error
            encoded.append(picture)
            pixels += picture.pixels
        if pixels > self._requests.max_pixels:
            raise RequestError(
                413,
                f"the request's pictures have {pixels:,} pixels, allowed are "
                f"{self._requests.max_pixels:,}; reduce them",
            )
        return encoded

    def _decoded(
        self, pictures: Sequence[EncodedPicture], target: PictureTarget
    ) -> NDArray[np.uint8]:
        """Decode and prepare one after the other, so that only one is held in full size."""
        image = target.image
        canonical = np.empty((len(pictures), image.height, image.width, image.channels), np.uint8)
        for index, picture in enumerate(pictures):
            try:
                decoded = decode_encoded_picture(
                    picture, image, max_pixels=self._requests.max_pixels
                )
                canonical[index] = target.prepare([decoded])[0]
            except DataError as error:
                raise _named(index, error) from error
        return canonical

    async def _in_thread(self, decode: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        if self._waiting >= self._batching.max_queued_requests:
            raise RequestError(
                429,
                f"{self._waiting} requests wait for their pictures to be decoded, allowed are "
                f"{self._batching.max_queued_requests}",
                {"Retry-After": "1"},
            )
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, decode)
        finally:
            self._waiting -= 1


def _decoding_s(picture: EncodedPicture, image: ImageFormat) -> float:
    """Estimate the time for decoding and resizing."""
    pixel_s = _DEEP_PIXEL_S if picture.bit_depth > 8 else _DECODE_PIXEL_S
    decoding_s = (pixel_s + _SCAN_PIXEL_S * (picture.scans - 1)) * picture.pixels
    if (picture.height, picture.width) == (image.height, image.width):
        return decoding_s
    return decoding_s + _RESIZE_PIXEL_S * (picture.pixels + image.height * image.width)


def _named(index: int, error: DataError) -> RequestError:
    return RequestError(415, f"picture {index}: {error}")
