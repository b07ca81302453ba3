"""The result memory within one process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bicameral.types import MemoryCounters, Prediction
from edge.memory.entries import BUCKET_LIMIT, Entry, EntryStore, sure_rows
from edge.memory.keys import KeyScheme, key_scheme, require_uint8
from edge.memory.settings import MemorySettings
from edge.memory.verification import choose

#: Looking for near duplicates costs an eighth to a sixth of the shipped cascade's networks, so
#: that with fewer answers than this it costs more than it saves.
_LEAST_SHARE = 1 / 8
#: Images by which it is judged, and, after a pause, by which it is tried again.
_WINDOW, _TRIAL = 64, 32
#: Images of a pause: a trial costs a fifteenth of what looking always costs.
_PAUSE = 480


class LocalMemory:
    """`bicameral.protocols.ResultMemory` in this process; thread-safe.

    An answer stays what it was when it was stored: a hit neither changes the entry nor stores the
    asked image. So a slowly changing scene cannot drift away from the image that was classified.

    What a verified key costs is paid only where it pays: the same pixels are found without any key,
    what is stored gets its key when near duplicates are next looked for, and that is suspended
    while few are found (`RepeatWatch`).
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
        self._scheme = scheme or key_scheme(settings.key)
        self._clock = clock
        self._entries = EntryStore(
            max_entries=settings.max_entries,
            bucket_limit=BUCKET_LIMIT if self._scheme.verified else 1,
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
        images = np.ascontiguousarray(images)
        with self._lock:
            self._forget_old()
            self._counts["lookups"] += len(images)
            found, missed = self._recall_same(namespace, images)
            if not missed:
                return found
            if self._watch is not None and not self._watch.pays(len(missed)):
                self._counts["suspended"] += len(missed)
                return found
            waiting = self._entries.unfiled(images.shape[1:]) if self._scheme.verified else []
        # One call for both: a key more costs a tenth of what the first one costs.
        asked = images if len(missed) == len(images) else images[missed]
        if waiting:
            stored = [entry.image[None] for entry in waiting if entry.image is not None]
            asked = np.concatenate([*stored, asked])
        probes = self._scheme.probes(asked)
        with self._lock:
            if waiting:
                keys = [of_image[0] for of_image in probes[: len(waiting)]]
                self._counts["evicted"] += self._entries.file(waiting, keys)
            near = 0
            for index, of_image in zip(missed, probes[len(waiting) :], strict=True):
                found[index] = self._recall(namespace, of_image, images[index])
                near += found[index] is not None
            if self._watch is not None:
                self._watch.note(len(missed), near)
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
        rows = sure_rows(self.settings, images, results)
        if not rows:
            with self._lock:
                self._counts["not_stored"] += len(images)
            return
        verified, keys = self._scheme.verified, None
        if verified:
            require_uint8(images)
        else:
            keys = self._scheme.keys(images if len(rows) == len(images) else images[rows])
        with self._lock:
            self._forget_old()
            now_s = self._clock()
            self._counts["not_stored"] += len(images) - len(rows)
            self._counts["stored"] += len(rows)
            for place, row in enumerate(rows):
                entry = Entry(
                    namespace=namespace,
                    key=None if keys is None else keys[place],
                    # Copies, because views would keep the whole batch alive.
                    image=images[row].copy() if verified else None,
                    probabilities=results.probabilities[row : row + 1].astype(np.float32),
                    confidence=float(results.confidence[row]),
                    stored_s=now_s,
                )
                self._counts["evicted"] += self._entries.put(entry)

    def clear(self, namespace: str | None = None) -> None:
        """Forget one namespace, or everything; the counters go on."""
        with self._lock:
            self._entries.clear(namespace)

    def counters(self) -> MemoryCounters:
        """Return what happened so far."""
        with self._lock:
            self._forget_old()
            return MemoryCounters(**self._counts, entries=len(self._entries))

    def _recall_same(
        self, namespace: str, images: NDArray[np.uint8]
    ) -> tuple[list[Prediction | None], list[int]]:
        """Look for images that are stored as they are; the caller holds the lock.

        Returns:
            For each image its answer or None, and the places of those without.
        """
        found: list[Prediction | None] = [None] * len(images)
        if not self._scheme.verified:
            return found, list(range(len(images)))  # the key itself says that they are equal
        missed: list[int] = []
        for index, image in enumerate(images):
            entry = self._entries.same(namespace, image)
            if entry is None:
                missed.append(index)
                continue
            self._counts["verified"] += 1
            self._counts["hits"] += 1
            self._entries.touch(entry)
            found[index] = entry.answer()
        return found, missed

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

    A camera's near duplicates follow each other, so a trial of consecutive images notices them. Not
    thread-safe: the memory holds the lock.
    """

    def __init__(self) -> None:
        """Begin to look."""
        self._span = _WINDOW
        self._pause = self._looked = self._found = 0

    def pays(self, images: int) -> bool:
        """Return whether to look for near duplicates of so many images, the next ones."""
        if self._pause <= 0:
            return True
        self._pause -= images
        return False

    def note(self, looked: int, found: int) -> None:
        """Take down what looking has brought."""
        self._looked += looked
        self._found += found
        if self._looked < self._span:
            return
        pays = self._found >= _LEAST_SHARE * self._looked
        self._span, self._pause = (_WINDOW, 0) if pays else (_TRIAL, _PAUSE)
        self._looked = self._found = 0
