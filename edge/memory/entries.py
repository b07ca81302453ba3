"""What a memory of this process keeps: found by content and by key, ordered by use and by age.

Not thread-safe; `edge.memory.local` holds the lock.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.types import Prediction

#: Entries that may share the key of a verified memory. It bounds what a lookup compares when many
#: images have the same hash, as all black ones have. Of FashionMNIST's 10,000 test images 154 find
#: no place at a limit of 16, 58 at 32, none at 64.
BUCKET_LIMIT = 32

#: By what an image is found as it is: namespace, shape, and all its pixels; of a memory whose keys
#: are not verified namespace, `()` and key. A dictionary of whole contents compares them, so that
#: no two images can be taken for each other.
Content = tuple[str, tuple[int, ...], bytes]


def sure_rows(
    least: float, images: NDArray[np.uint8], results: Prediction
) -> list[tuple[int, float]]:
    """Return the places of the results that are confident enough, in order, and how confident.

    Raises:
        DataError: If images and results differ in number.
    """
    confidence = results.confidence.tolist()
    if not len(images) == len(results.probabilities) == len(confidence):
        raise DataError(
            f"{len(images)} images come with {len(results.probabilities)} rows of probabilities "
            f"and {len(confidence)} confidences; expected one of each for each image"
        )
    return [(row, sure) for row, sure in enumerate(confidence) if sure >= least]


@dataclass(slots=True, eq=False)
class Entry:
    """One remembered result; compared and hashed by identity. Only its key changes, once.

    Attributes:
        content: Of its image, all pixels where a key must be verified; otherwise only the key: a
            memory keeps no picture that it does not need.
        probabilities: (C,) float32, their bytes.
        confidence: Of the answer.
        stored_s: Time of storing on the memory's clock.
        key: The key under which it is filed; None: it is not filed yet, or found by content only.
    """

    content: Content
    probabilities: bytes
    confidence: float
    stored_s: float
    key: bytes | None = None

    @property
    def image(self) -> NDArray[np.uint8]:
        """Its image (H, W, C), read-only, where the content holds the pixels."""
        return np.frombuffer(self.content[2], np.uint8).reshape(self.content[1])

    def answer(self) -> Prediction:
        """Return the answer; its probabilities are read-only, for a hit hands out the entry's."""
        return Prediction(
            probabilities=np.frombuffer(self.probabilities, np.float32)[None],
            confidence=np.array([self.confidence], np.float32),
        )


class EntryStore:
    """Entries by content and, if keys are verified, by key; at most `max_entries` in all."""

    def __init__(self, *, max_entries: int, verified: bool, aging: bool) -> None:
        """Begin empty.

        Args:
            max_entries: Entries at most; the least recently used goes first.
            verified: Whether entries hold images and get keys.
            aging: Whether `remove_older` will be asked.
        """
        self._max_entries, self._verified, self._aging = max_entries, verified, aging
        #: In the order of their last use.
        self._by_content: OrderedDict[Content, Entry] = OrderedDict()
        #: In the order in which they came, if that will be asked for.
        self._by_age: OrderedDict[Entry, None] = OrderedDict()
        #: By namespace and key, at most `BUCKET_LIMIT` each.
        self._buckets: defaultdict[tuple[str, bytes], list[Entry]] = defaultdict(list)
        #: Entries that wait for their keys, in the order in which they came.
        self._unfiled: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._by_content)

    def same(self, content: Content) -> Entry | None:
        """Return the entry of this very content and make it the most recently used."""
        entry = self._by_content.get(content)
        if entry is not None:
            self.touch(entry)
        return entry

    def under(self, namespace: str, keys: Sequence[bytes]) -> list[Entry]:
        """Return the entries under any of the keys."""
        buckets = self._buckets
        return [entry for key in keys for entry in buckets.get((namespace, key), ())]

    def unfiled(self, shape: tuple[int, ...], most: int) -> list[Entry]:
        """Return the newest entries with images of this shape that wait for their keys, in order.

        Args:
            shape: Height, width and channels.
            most: How many at most.
        """
        if not self._unfiled:
            return []
        newest = list(islice(reversed(self._unfiled), most))
        return [one for one in reversed(newest) if one.content[1] == shape]

    def touch(self, entry: Entry) -> None:
        """Make an entry the most recently used, of all and of its key's."""
        self._by_content.move_to_end(entry.content)
        if entry.key is not None:
            bucket = self._buckets[entry.content[0], entry.key]
            if bucket[-1] is not entry:
                bucket.remove(entry)
                bucket.append(entry)

    def put(self, entry: Entry) -> int:
        """Take an entry in as the most recently used; one of the same content is replaced.

        Entries must come in the order of their age. One is found by its content at once, and by its
        key when `file` was told that.

        Returns:
            How many others had to go for it.
        """
        replaced, evicted = self._by_content.get(entry.content), 0
        if replaced is not None:
            self._remove(replaced)
        elif len(self._by_content) >= self._max_entries:
            self._remove(next(iter(self._by_content.values())))
            evicted = 1
        self._by_content[entry.content] = entry
        if self._aging:
            self._by_age[entry] = None
        if self._verified:
            self._unfiled[entry] = None
        return evicted

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
            entry.key, place = key, (entry.content[0], key)
            if len(self._buckets[place]) >= BUCKET_LIMIT:
                self._remove(self._buckets[place][0])
                evicted += 1
            self._buckets[place].append(entry)
        if not self._unfiled:
            self._unfiled.clear()  # or it is walked over the places of all that were removed
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
        for entry in list(self._by_content.values()):
            if namespace in (None, entry.content[0]):
                self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        del self._by_content[entry.content]
        self._by_age.pop(entry, None)
        if entry.key is None:
            self._unfiled.pop(entry, None)
            return
        place = entry.content[0], entry.key
        self._buckets[place].remove(entry)
        if not self._buckets[place]:
            del self._buckets[place]
