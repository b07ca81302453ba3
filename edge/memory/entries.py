"""What a memory keeps of results, and its entries: filed by key, ordered by use and by age.

Not thread-safe; `edge.memory.local` holds the lock.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.types import Prediction
from edge.memory.keys import KeyScheme, content_digests
from edge.memory.settings import MemorySettings

#: Entries that may share the key of a verified memory. It bounds what a lookup compares when many
#: images have the same hash, as all black ones have. Of FashionMNIST's 10,000 test images 154 find
#: no place at a limit of 16, 58 at 32, none at 64.
BUCKET_LIMIT = 32

#: Pixel values by which equal images find each other, at least.
_SAMPLED_VALUES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FiledAnswer:
    """An answer with what is needed to find it again.

    Attributes:
        key: The key under which it is filed.
        content: Digest of the image where several images may share a key; otherwise empty, so that
            the last answer of a key replaces the one before.
        image: (H, W, C) uint8, read-only, where a key must be verified; otherwise None: a memory
            keeps no picture that it does not need.
        answer: One row, read-only.
    """

    key: bytes
    content: bytes
    image: NDArray[np.uint8] | None
    answer: Prediction


def file_confident(
    scheme: KeyScheme, settings: MemorySettings, images: NDArray[np.uint8], results: Prediction
) -> list[FiledAnswer]:
    """Return the results that are confident enough, in order, ready to be filed.

    Raises:
        DataError: If images and results differ in number, or no key can be computed.
    """
    if not len(images) == len(results.probabilities) == len(results.confidence):
        raise DataError(
            f"{len(images)} images come with {len(results.probabilities)} rows of probabilities "
            f"and {len(results.confidence)} confidences; expected one of each for each image"
        )
    sure = np.flatnonzero(results.confidence >= settings.store_min_confidence)
    if not len(sure):
        return []
    if len(sure) == len(images):
        return _file(scheme, images, results)
    kept = Prediction(
        probabilities=results.probabilities[sure], confidence=results.confidence[sure]
    )
    return _file(scheme, images[sure], kept)


def _file(scheme: KeyScheme, images: NDArray[np.uint8], results: Prediction) -> list[FiledAnswer]:
    contents = content_digests(images) if scheme.verified else [b""] * len(images)
    return [
        FiledAnswer(
            key=key,
            content=content,
            image=_read_only(image) if scheme.verified else None,
            answer=_one_row(results, index),
        )
        for index, (key, content, image) in enumerate(
            zip(scheme.keys(images), contents, images, strict=True)
        )
    ]


def _one_row(results: Prediction, index: int) -> Prediction:
    """Copy one row, read-only, so that a hit can hand out the entry itself."""
    rows = slice(index, index + 1)
    probabilities = results.probabilities[rows].astype(np.float32)
    confidence = results.confidence[rows].astype(np.float32)
    probabilities.flags.writeable = confidence.flags.writeable = False
    return Prediction(probabilities=probabilities, confidence=confidence)


def _read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # A copy, because a view would keep the whole batch alive.
    own = image.copy()
    own.flags.writeable = False
    return own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry:
    """One remembered result; compared and hashed by identity.

    Attributes:
        namespace: Fingerprint of the model that gave the answer.
        filed: Key, image and answer.
        stored_s: Time of storing on the memory's clock.
    """

    namespace: str
    filed: FiledAnswer
    stored_s: float


class EntryStore:
    """Entries by namespace and key, at most `max_entries` in all and `bucket_limit` a key."""

    def __init__(self, *, max_entries: int, bucket_limit: int) -> None:
        """Begin empty."""
        self._max_entries = max_entries
        self._bucket_limit = bucket_limit
        self._buckets: defaultdict[str, dict[bytes, list[Entry]]] = defaultdict(dict)
        #: Entries with images, by a few of their pixels; the last one of equal ones.
        self._by_sample: dict[tuple[str, bytes], Entry] = {}
        self._by_use: OrderedDict[Entry, None] = OrderedDict()
        self._by_age: OrderedDict[Entry, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_use)

    def under(self, namespace: str, keys: Sequence[bytes]) -> list[Entry]:
        """Return the entries under any of the keys."""
        buckets = self._buckets.get(namespace)
        if not buckets:
            return []
        return [entry for key in keys if key in buckets for entry in buckets[key]]

    def same(self, namespace: str, image: NDArray[np.uint8]) -> Entry | None:
        """Return the entry of this very image (H, W, C), if it finds one without any key.

        A picture that comes again as it was, as a client's second attempt does, is found in a tenth
        of the time that its key takes.
        """
        entry = self._by_sample.get((namespace, _sample(image)))
        if entry is None or entry.filed.image is None or entry.filed.image.shape != image.shape:
            return None
        # In half the time of numpy's comparison.
        return entry if cv2.norm(entry.filed.image, image, cv2.NORM_INF) == 0 else None

    def touch(self, entry: Entry) -> None:
        """Make an entry the most recently used, of all and of its key's."""
        self._by_use.move_to_end(entry)
        bucket = self._buckets[entry.namespace][entry.filed.key]
        if bucket[-1] is not entry:
            bucket.remove(entry)
            bucket.append(entry)

    def put(self, entry: Entry) -> int:
        """File an entry as the most recently used; one of the same key and content is replaced.

        Entries must come in the order of their age.

        Returns:
            How many others had to go for it.
        """
        bucket = self._buckets[entry.namespace].get(entry.filed.key, [])
        same = [other for other in bucket if other.filed.content == entry.filed.content]
        evicted: list[Entry] = []
        if not same and len(bucket) >= self._bucket_limit:
            evicted = bucket[:1]
        elif not same and len(self) >= self._max_entries:
            evicted = [next(iter(self._by_use))]
        for other in same + evicted:
            self._remove(other)
        # Looked up again, because a bucket that became empty is gone.
        self._buckets[entry.namespace].setdefault(entry.filed.key, []).append(entry)
        self._by_use[entry] = None
        self._by_age[entry] = None
        if entry.filed.image is not None:
            self._by_sample[entry.namespace, _sample(entry.filed.image)] = entry
        return len(evicted)

    def remove_older(self, before_s: float) -> int:
        """Drop the entries stored before a time; return how many."""
        count = 0
        while self._by_age and (oldest := next(iter(self._by_age))).stored_s < before_s:
            self._remove(oldest)
            count += 1
        return count

    def clear(self, namespace: str | None) -> None:
        """Drop one namespace, or everything."""
        for entry in [e for e in self._by_use if namespace is None or e.namespace == namespace]:
            self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        del self._by_use[entry], self._by_age[entry]
        if entry.filed.image is not None:
            sample = entry.namespace, _sample(entry.filed.image)
            if self._by_sample.get(sample) is entry:
                del self._by_sample[sample]
        buckets = self._buckets[entry.namespace]
        bucket = buckets[entry.filed.key]
        bucket.remove(entry)
        if not bucket:
            del buckets[entry.filed.key]
            if not buckets:
                del self._buckets[entry.namespace]


def _sample(image: NDArray[np.uint8]) -> bytes:
    """Return pixel values from all over an image, in which different images mostly differ."""
    return image.reshape(-1)[:: image.size // _SAMPLED_VALUES or 1].tobytes()
