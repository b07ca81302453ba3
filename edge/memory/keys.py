"""Keys under which a result memory files an image, by name.

``exact``
    The content itself: two images share the key only if they are equal.
``dhash_verified``
    A difference hash that is made to survive a camera's noise; it only proposes candidates, and
    the stored image decides (`edge.memory.verification`).

The difference hash of the paper (arXiv 2412.01039) keeps the sign of the difference between
neighbours. On a flat background that sign is pure noise, so a camera's frames practically never
share a key. Two changes mend that: the pixels are averaged over the cells instead of sampled, and a
bit means "brighter by more than a margin", which neither noise nor a change of brightness touches
on a flat background. What remains are the few differences close to the margin: a lookup also tries
the keys with those bits flipped (multi-probe hashing), so that it needs no search among all
entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from edge.preprocessing import area_weights

#: Rows of the difference hash, and differences per row.
_CELLS = 8
#: A bit of the noise-proof difference hash says that a cell is brighter than its left neighbour by
#: more than this many grey levels. Measured on FashionMNIST with noise of sd 4 and a brightness of
#: +-3 on both images: with 8 probes the candidate is found for 87 % of the images at a margin of 8,
#: 95 % at 16, 98 % at 24; but fewer images get a key of their own (91, 86 and 82 %).
_MARGIN_U8 = 16
#: So many least certain bits are tried both ways: 2**3 probes.
_UNCERTAIN_BITS = 3

_UINT8 = np.dtype(np.uint8)

_BIT_VALUES = np.uint64(1) << np.arange(_CELLS * _CELLS, dtype=np.uint64)
#: (bits, probes): which of the uncertain bits each probe flips; the first probe flips none.
_FLIPS = np.array(
    [[probe >> bit & 1 for probe in range(1 << _UNCERTAIN_BITS)] for bit in range(_UNCERTAIN_BITS)],
    np.uint64,
)
#: From here on float32 no longer holds every integer.
_FLOAT32_EXACT = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyScheme:
    """One way to file images.

    Attributes:
        name: How settings and sidecars call it.
        keys: Images (N, H, W, C) -> the key under which each is stored.
        probes: Images (N, H, W, C) -> the keys under which to look for each, likeliest first.
        verified: Whether a stored image must pass verification; if not, a key's owner answers.
    """

    name: str
    keys: Callable[[NDArray[np.uint8]], list[bytes]]
    probes: Callable[[NDArray[np.uint8]], Sequence[Sequence[bytes]]]
    verified: bool = False


def content_digests(images: NDArray[Any]) -> list[bytes]:
    """Return the first 128 bits of SHA-256 over size, dtype and values of each image.

    A cryptographic hash, because an image that somebody else chose must not be able to borrow an
    answer; with the processor's own instructions it is also the fastest of hashlib's (1.0 us for
    784 bytes, BLAKE2b 1.1 us; 18 and 35 us for 30 KB).
    """
    images = np.ascontiguousarray(images)
    start = _digest_start(images.shape[1:], images.dtype)
    digests = []
    for image in images:
        state = start.copy()
        state.update(image)
        digests.append(state.digest()[:16])
    return digests


@lru_cache(maxsize=64)
def _digest_start(shape: tuple[int, ...], dtype: np.dtype[Any]) -> hashlib._Hash:
    return hashlib.sha256(f"{shape} {dtype.str}".encode())


def noise_proof_dhash_keys(images: NDArray[np.uint8]) -> list[bytes]:
    """Return the 64-bit difference hash with a margin: (N, H, W, C) uint8 -> N keys."""
    keys: list[bytes] = _packed(_excess_over_margin(images)).view("V8")[:, 0].tolist()
    return keys


def noise_proof_dhash_probes(images: NDArray[np.uint8]) -> list[list[bytes]]:
    """Return eight keys for each image: its own, then with its least certain bits flipped."""
    excess = _excess_over_margin(images)
    keys = _packed(excess)
    np.abs(excess, out=excess)
    # Stable, so that equally uncertain bits come in the same order whatever numpy's sort is: the
    # runtime of a Jetson must find what this one finds.
    least = excess.argsort(axis=1, kind="stable")[:, :_UNCERTAIN_BITS]
    probes: list[list[bytes]] = (keys ^ (_BIT_VALUES[least] @ _FLIPS)).view("V8").tolist()
    return probes


def require_uint8(images: NDArray[Any]) -> None:
    """Refuse what no perceptual key can be computed of.

    Raises:
        DataError: If it is no (N, H, W, C) uint8.
    """
    if images.ndim != 4 or images.dtype != _UINT8:
        raise DataError(
            f"perceptual keys need images (N, H, W, C) uint8, got shape {images.shape} and dtype "
            f"{images.dtype}; use the key 'exact' for other tensors"
        )


def _excess_over_margin(images: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Return (N, 64): neighbouring cells' differences less the margin, times H * W * C.

    Whole numbers, and therefore the same for an image alone and within a batch.
    """
    require_uint8(images)
    count, height, width, channels = images.shape
    rows, columns = _difference_weights(height, width, channels)
    flat = images.reshape(count, height, width * channels).astype(columns.dtype)
    differences = np.matmul(flat, columns).astype(rows.dtype, copy=False)
    excess = np.matmul(rows, differences).reshape(count, _CELLS * _CELLS)
    excess -= _MARGIN_U8 * height * width * channels
    return np.asarray(excess)


@lru_cache(maxsize=64)
def _difference_weights(
    height: int, width: int, channels: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return (8, H), which averages rows, and (W * C, 8), which subtracts neighbouring columns."""
    # Each factor is as narrow as its products stay exact: float32 takes half the time.
    of_columns = _exact_dtype(2 * 255 * width * channels)
    of_rows = _exact_dtype(2 * 255 * height * width * channels)
    cells = area_weights(width, _CELLS + 1)
    columns = np.repeat((cells[1:] - cells[:-1]).T, channels, axis=0)
    rows = area_weights(height, _CELLS)
    return rows.astype(of_rows), np.ascontiguousarray(columns, of_columns)


def _exact_dtype(largest: int) -> type[np.floating]:
    return np.float32 if largest < _FLOAT32_EXACT else np.float64


def _packed(excess: NDArray[np.floating]) -> NDArray[np.uint64]:
    """Pack the signs of (N, 64) into (N, 1) little-endian integers."""
    return np.packbits(excess > 0, axis=1, bitorder="little").view("<u8")


#: All keys by name.
KEYS: dict[str, KeyScheme] = {
    scheme.name: scheme
    for scheme in (
        KeyScheme(
            name="exact",
            keys=content_digests,
            probes=lambda images: [[key] for key in content_digests(images)],
        ),
        KeyScheme(
            name="dhash_verified",
            keys=noise_proof_dhash_keys,
            probes=noise_proof_dhash_probes,
            verified=True,
        ),
    )
}
