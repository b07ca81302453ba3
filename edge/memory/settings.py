"""Settings that every backend of the result memory shares."""

from __future__ import annotations

from dataclasses import dataclass

from bicameral.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """What a result memory remembers, for how long, and when it recognises an image.

    Attributes:
        key: Name of an entry of `edge.memory.keys.KEYS`.
        tolerance_mae_u8: A verified key answers only if the stored image differs from the asked one
            by at most this much: mean absolute difference of all pixel values, grey levels 0..255.
            Other keys ignore it.
        max_entries: Entries held at most, over all namespaces; the least recently used goes first.
        max_age_s: Older entries are forgotten; None: never.
        store_min_confidence: Only results at least this confident are stored, 0..1.
    """

    key: str = "dhash_verified"
    tolerance_mae_u8: float = 4.0
    max_entries: int = 10_000
    max_age_s: float | None = None
    store_min_confidence: float = 0.9

    def __post_init__(self) -> None:
        checks = (
            ("tolerance_mae_u8", 0 <= self.tolerance_mae_u8 <= 255, "0..255 grey levels"),
            ("max_entries", self.max_entries >= 1, "at least 1"),
            ("max_age_s", self.max_age_s is None or self.max_age_s > 0, "above 0 s, or none"),
            ("store_min_confidence", 0 <= self.store_min_confidence <= 1, "0..1"),
        )
        for name, holds, expected in checks:
            if not holds:
                raise ConfigError(
                    f"the result memory's {name} is {getattr(self, name)}, expected {expected}"
                )
