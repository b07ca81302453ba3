"""The result memory within one process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import look_up
from bicameral.types import MemoryCounters, Prediction
from edge.memory.entries import Content, Entry, EntryStore, sure_rows
from edge.memory.keys import KEYS, KeyScheme, require_uint8
from edge.memory.settings import MemorySettings
from edge.memory.verification import choose

#: Looking for near duplicates pays if one in so many images is found: it costs up to a half of the
#: shipped cascade's networks, more than it computes, for it displaces them in the caches.
_IMAGES_PER_HIT = 2
#: Images that may be looked at in vain before looking is suspended, at first and after a pause.
_PATIENCE, _TRIAL = 6, 3
#: Images of the first pause; while trials find nothing, each is twice as long as the one before.
_PAUSE, _LONGEST_PAUSE = 128, 1024
#: So much is kept in hand at most, that the end of a video is noticed soon.
_MOST_CREDIT = 32
#: Entries that get their keys at a time, the newest first; on a trial no older ones are needed.
_FILED_AT_A_TIME, _FILED_ON_TRIAL = 512, 2

_UINT8 = np.dtype(np.uint8)
_IMAGE_DIMENSIONS = 4


class LocalMemory:
    """`bicameral.protocols.ResultMemory` in this process; thread-safe.

    An answer stays what it was when it was stored: a hit neither changes the entry nor stores the
    asked image. So a slowly changing scene cannot drift away from the image that was classified.

    What a verified key costs is paid only where it pays: the same pixels are found without any key,
    what is stored gets its key when near duplicates are next looked for, and that is suspended
    while few are found (`RepeatWatch`). What is left is a hash of the pixels and a comparison.
    """

    def __init__(
        self,
        settings: MemorySettings,
        *,
        scheme: KeyScheme | None = None,
        always: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin empty.

        Args:
            settings: What to remember, and when to recognise it.
            scheme: How to file images; by default the one that the settings name.
            always: Look for near duplicates on every stream, as studies of the keys must.
            clock: Seconds that never go back; ages are measured on it.

        Raises:
            UserError: If there is no key of the settings' name.
        """
        self.settings = settings
        self._scheme = scheme or look_up("memory key", settings.key, KEYS)
        self._clock, self._ages = clock, settings.max_age_s is not None
        self._least = float(np.float32(settings.store_min_confidence))
        self._entries = EntryStore(
            max_entries=settings.max_entries, verified=self._scheme.verified, aging=self._ages
        )
        self._watch = None if always or not self._scheme.verified else RepeatWatch()
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def lookup(self, namespace: str, images: NDArray[np.uint8]) -> list[Prediction | None]:
        """Return what is known of each image.

        Args:
            namespace: Fingerprint of the model.
            images: (N, H, W, C) uint8; with the key ``exact`` any tensors (N, ...).

        Returns:
            For each image a prediction of one row, whose arrays are read-only, or None.

        Raises:
            DataError: If a perceptual key cannot be computed of these images.
        """
        contents, entries, counts = self._contents(namespace, images), self._entries, self._counts
        found: list[Prediction | None] = []
        missed: list[int] = []
        with self._lock:
            if self._ages:
                self._forget_old()
            for content in contents:
                entry = entries.same(content)
                if entry is None:
                    missed.append(len(found))
                found.append(None if entry is None else entry.answer())
            counts["lookups"] += len(found)
            if len(missed) < len(found):
                counts["hits"] += len(found) - len(missed)
                counts["verified"] += (len(found) - len(missed)) * self._scheme.verified
            if not missed or not self._scheme.verified:
                return found
            if self._watch is not None and not self._watch.pays(len(missed)):
                counts["suspended"] += len(missed)
                return found
            on_trial = self._watch is not None and self._watch.on_trial
            most = _FILED_ON_TRIAL if on_trial else _FILED_AT_A_TIME
            waiting = entries.unfiled(images.shape[1:], max(most, len(missed)))
        asked = images if len(missed) == len(images) else images[missed]
        near = self._recall_near(namespace, asked, waiting)
        for place, answer in zip(missed, near, strict=True):
            found[place] = answer
        return found

    def store(self, namespace: str, images: NDArray[np.uint8], results: Prediction) -> None:
        """Remember the results that are confident enough, in order.

        Args:
            namespace: Fingerprint of the model.
            images: As for `lookup`.
            results: One row for each image.

        Raises:
            DataError: If images and results differ in number, or no key can be computed.
        """
        rows, counts = sure_rows(self._least, images, results), self._counts
        contents = self._contents(namespace, images) if rows else []
        with self._lock:
            if len(rows) < len(images):
                counts["not_stored"] += len(images) - len(rows)
            if not rows:
                return
            if self._ages:
                self._forget_old()
            counts["stored"] += len(rows)
            now_s = self._clock() if self._ages else 0.0
            probabilities = np.asarray(results.probabilities, np.float32)
            for row, confidence in rows:
                own = probabilities if len(contents) == 1 else probabilities[row]
                entry = Entry(contents[row], own.tobytes(), confidence, now_s)
                if self._entries.put(entry):
                    counts["evicted"] += 1

    def clear(self, namespace: str | None = None) -> None:
        """Forget one namespace, or everything; the counters go on."""
        with self._lock:
            self._entries.clear(namespace)

    def counters(self) -> MemoryCounters:
        """Return what happened so far."""
        with self._lock:
            self._forget_old()
            return MemoryCounters(**self._counts, entries=len(self._entries))

    def _contents(self, namespace: str, images: NDArray[np.uint8]) -> list[Content]:
        """Return by what images are found as they are."""
        if not self._scheme.verified:
            return [(namespace, (), key) for key in self._scheme.keys(images)]
        shape = images.shape
        if len(shape) != _IMAGE_DIMENSIONS or images.dtype is not _UINT8:
            require_uint8(images)
        # Numpy is asked once only: for one small image its calls are the cost.
        pixels = images.tobytes()
        if shape[0] == 1:
            return [(namespace, shape[1:], pixels)]
        size = len(pixels) // (shape[0] or 1)
        return [
            (namespace, shape[1:], pixels[place * size : (place + 1) * size])
            for place in range(shape[0])
        ]

    def _recall_near(
        self, namespace: str, images: NDArray[np.uint8], waiting: Sequence[Entry]
    ) -> list[Prediction | None]:
        """Look for near duplicates of images, and file what waits for its keys."""
        asked = images
        if waiting:
            # One call for both: a key more costs a tenth of what the first one costs.
            asked = np.concatenate([*(one.image[None] for one in waiting), images])
        probes = self._scheme.probes(asked)
        with self._lock:
            if waiting:
                keys = [of_image[0] for of_image in probes[: len(waiting)]]
                self._counts["evicted"] += self._entries.file(waiting, keys)
            found = [
                self._recall(namespace, of_image, image)
                for of_image, image in zip(probes[len(waiting) :], images, strict=True)
            ]
            if self._watch is not None:
                self._watch.note(len(found), len(found) - found.count(None))
        return found

    def _recall(
        self, namespace: str, keys: Sequence[bytes], image: NDArray[np.uint8]
    ) -> Prediction | None:
        """Look for one image; the caller holds the lock."""
        candidates = self._entries.under(namespace, keys)
        if not candidates:
            return None
        stored = [entry.image for entry in candidates]
        chosen, counts = choose(image, stored, self._scheme, self.settings)
        self._counts.update(counts)
        if chosen is None:
            return None
        self._entries.touch(candidates[chosen])
        return candidates[chosen].answer()

    def _forget_old(self) -> None:
        """Drop what is too old; the caller holds the lock."""
        if self.settings.max_age_s is not None:
            before_s = self._clock() - self.settings.max_age_s
            self._counts["expired"] += self._entries.remove_older(before_s)


class RepeatWatch:
    """Suspends looking for near duplicates while few are found, and tries again from time to time.

    It keeps an account: an image that was looked at costs one, a hit brings what looking at
    `_IMAGES_PER_HIT` costs. A camera's near duplicates follow each other, so a trial of consecutive
    images notices them. Not thread-safe: the memory holds the lock.
    """

    def __init__(self) -> None:
        """Begin to look."""
        self._credit, self._left = _PATIENCE, 0
        self._pause = _PAUSE
        self.on_trial = False

    def pays(self, images: int) -> bool:
        """Return whether to look for near duplicates of so many images, the next ones."""
        if self._left <= 0:
            return True
        self._left -= images
        return False

    def note(self, looked: int, found: int) -> None:
        """Take down what looking has brought."""
        self._credit = min(self._credit + _IMAGES_PER_HIT * found - looked, _MOST_CREDIT)
        if self._credit > _PATIENCE:
            self.on_trial, self._pause = False, _PAUSE
        elif self._credit <= 0:
            self._left, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
            self._credit, self.on_trial = _TRIAL, True
