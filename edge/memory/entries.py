"""What a memory of this process keeps: found by pixels and by key, ordered by use and by age.

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
from edge.memory.settings import MemorySettings

#: Entries that may share the key of a verified memory. It bounds what a lookup compares when many
#: images have the same hash, as all black ones have. Of FashionMNIST's 10,000 test images 154 find
#: no place at a limit of 16, 58 at 32, none at 64.
BUCKET_LIMIT = 32

#: Pixel values by which equal images find each other, at least.
_SAMPLED_VALUES = 64


def sure_rows(
    settings: MemorySettings, images: NDArray[np.uint8], results: Prediction
) -> list[int]:
    """Return the places of the results that are confident enough, in order.

    Raises:
        DataError: If images and results differ in number.
    """
    confidence = results.confidence
    if not len(images) == len(results.probabilities) == len(confidence):
        raise DataError(
            f"{len(images)} images come with {len(results.probabilities)} rows of probabilities "
            f"and {len(confidence)} confidences; expected one of each for each image"
        )
    least = float(np.float32(settings.store_min_confidence))
    sure: list[int] = np.flatnonzero(confidence >= least).tolist()
    return sure


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One remembered result; compared and hashed by identity. Only its key changes, once.

    Attributes:
        namespace: Fingerprint of the model that gave the answer.
        key: The key under which it is filed; None: it is not filed yet.
        image: (H, W, C) uint8, its own, where a key must be verified; otherwise None: a memory
            keeps no picture that it does not need.
        probabilities: (1, C) float32, the entry's own.
        confidence: Of the answer.
        stored_s: Time of storing on the memory's clock.
    """

    namespace: str
    key: bytes | None
    image: NDArray[np.uint8] | None
    probabilities: NDArray[np.float32]
    confidence: float
    stored_s: float

    def answer(self) -> Prediction:
        """Return the answer; its probabilities are read-only, for a hit hands out the entry's."""
        self.probabilities.flags.writeable = False
        return Prediction(
            probabilities=self.probabilities, confidence=np.array([self.confidence], np.float32)
        )


class EntryStore:
    """Entries by namespace and key, at most `max_entries` in all and `bucket_limit` a key."""

    def __init__(self, *, max_entries: int, bucket_limit: int) -> None:
        """Begin empty."""
        self._max_entries = max_entries
        self._bucket_limit = bucket_limit
        self._buckets: defaultdict[str, dict[bytes, list[Entry]]] = defaultdict(dict)
        #: Entries with images, by a few of their pixels; the last `bucket_limit` of equal ones.
        self._by_sample: dict[tuple[str, bytes], list[Entry]] = {}
        #: Entries with images that wait for their keys, in the order in which they came.
        self._unfiled: dict[Entry, None] = {}
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
        return self._same((namespace, _sample(image)), image)

    def unfiled(self, shape: tuple[int, ...]) -> list[Entry]:
        """Return the entries with images of this shape that wait for their keys."""
        if not self._unfiled:
            return []
        return [one for one in self._unfiled if one.image is not None and one.image.shape == shape]

    def touch(self, entry: Entry) -> None:
        """Make an entry the most recently used, of all and of its key's."""
        self._by_use.move_to_end(entry)
        if entry.key is None:
            return
        bucket = self._buckets[entry.namespace][entry.key]
        if bucket[-1] is not entry:
            bucket.remove(entry)
            bucket.append(entry)

    def put(self, entry: Entry) -> int:
        """Take an entry in as the most recently used; one of the same image or key is replaced.

        Entries must come in the order of their age. One with an image is found by its pixels at
        once, and by its key when `file` was told that.

        Returns:
            How many others had to go for it.
        """
        image = entry.image
        if image is not None:
            sample = entry.namespace, _sample(image)
            other = self._same(sample, image)
            replaced = [] if other is None else [other]
        else:
            replaced = self.under(entry.namespace, [entry.key or b""])
        evicted: list[Entry] = []
        if not replaced and len(self) >= self._max_entries:
            evicted = [next(iter(self._by_use))]
        for other in replaced + evicted:
            self._remove(other)
        self._by_use[entry] = None
        self._by_age[entry] = None
        if image is not None:
            sampled = self._by_sample.setdefault(sample, [])
            sampled.append(entry)
            del sampled[: -self._bucket_limit]
            self._unfiled[entry] = None
        else:
            self._buckets[entry.namespace][entry.key or b""] = [entry]
        return len(evicted)

    def file(self, entries: Sequence[Entry], keys: Sequence[bytes]) -> int:
        """File entries that waited under their keys, as far as they are still held.

        Returns:
            How many others had to go for them.
        """
        evicted = 0
        for entry, key in zip(entries, keys, strict=True):
            if entry not in self._unfiled:
                continue
            del self._unfiled[entry]
            entry.key = key
            bucket = self._buckets[entry.namespace].get(key, [])
            # Those that another image with the same sampled pixels has hidden from `put`.
            same = [other for other in bucket if _equal(other.image, entry.image)]
            full = bucket[:1] if not same and len(bucket) >= self._bucket_limit else []
            for other in same + full:
                self._remove(other)
            evicted += len(full)
            # Looked up again, because a bucket that became empty is gone.
            self._buckets[entry.namespace].setdefault(key, []).append(entry)
        return evicted

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

    def _same(self, sample: tuple[str, bytes], image: NDArray[np.uint8]) -> Entry | None:
        for entry in self._by_sample.get(sample, ()):
            if _equal(entry.image, image):
                return entry
        return None

    def _remove(self, entry: Entry) -> None:
        del self._by_use[entry], self._by_age[entry]
        if entry.image is not None:
            sample = entry.namespace, _sample(entry.image)
            sampled = self._by_sample.get(sample, [])
            if entry in sampled:
                sampled.remove(entry)
                if not sampled:
                    del self._by_sample[sample]
        if entry.key is None:
            del self._unfiled[entry]
            return
        buckets = self._buckets[entry.namespace]
        bucket = buckets[entry.key]
        bucket.remove(entry)
        if not bucket:
            del buckets[entry.key]
            if not buckets:
                del self._buckets[entry.namespace]


def _equal(stored: NDArray[np.uint8] | None, image: NDArray[np.uint8] | None) -> bool:
    """Return whether two images are the same, in half the time of numpy's comparison."""
    if stored is None or image is None or stored.shape != image.shape:
        return False
    return bool(cv2.norm(stored, image, cv2.NORM_INF) == 0)


def _sample(image: NDArray[np.uint8]) -> bytes:
    """Return pixel values from all over an image, in which different images mostly differ."""
    return image.reshape(-1)[:: image.size // _SAMPLED_VALUES or 1].tobytes()
