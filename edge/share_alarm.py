"""Whether a cascade in service asks its further networks as often as it did when it was made.

Pictures of another kind show first in that: mirrored, noisy or dark ones send more of them on, so
that a cascade costs more than was promised, and is wrong more often.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from bicameral.statistics import predicted_share
from edge.cascade_sidecar import CascadeSpec

_log = logging.getLogger(__name__)

#: Images that are judged together.
WINDOW = 1000
#: Of windows of images like the validation images, so many lie outside of the interval.
_RARE = 0.001
#: Windows in a row that raise the alarm, or end it.
_IN_A_ROW = 2


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Return between which shares a window lies, if its images are like n others.

    Args:
        share: Share of the n images that went on.
        n: How many there were.
    """
    return predicted_share(round(share * n), n, window=WINDOW, rare=_RARE)


class ShareAlarm:
    """Raised for a stage when its share leaves the interval of validation in two windows in a row.

    It ends when two in a row lie inside again. A memory's answers count as the first stage's, for
    what is remembered is sure.

    Attributes:
        raised: Whether the alarm is on, by stage.
    """

    def __init__(self, name: str, stages: Sequence[str], spec: CascadeSpec) -> None:
        """Watch the stages whose interval the sidecar knows.

        Args:
            name: What log lines call the cascade.
            stages: Its stages as traces call them.
            spec: The sidecar's block ``cascade``.
        """
        self._name, self._stages = name, tuple(stages)
        self._intervals = {
            stage: described.share_interval
            for stage, described in zip(stages, spec.stages, strict=False)
            if described.share_interval is not None
        }
        self.raised = dict.fromkeys(self._intervals, False)
        self._against = dict.fromkeys(self._intervals, 0)
        self._before: Mapping[str, int] = {}

    def observe(self, counts: Mapping[str, int]) -> None:
        """Judge a window, if one is full.

        Args:
            counts: Images by the stage that answered, since the beginning.
        """
        images = sum(counts.values()) - sum(self._before.values())
        if images < WINDOW or not self._intervals:
            return
        news = {stage: n - self._before.get(stage, 0) for stage, n in counts.items()}
        self._before = dict(counts)
        for stage, (low, high) in self._intervals.items():
            further = self._stages[self._stages.index(stage) :]
            share = sum(news.get(one, 0) for one in further) / images
            differs = (low <= share <= high) == self.raised[stage]
            self._against[stage] = self._against[stage] + 1 if differs else 0
            if self._against[stage] < _IN_A_ROW:
                continue
            self._against[stage] = 0
            self.raised[stage] = not self.raised[stage]
            _log.log(
                logging.WARNING if self.raised[stage] else logging.INFO,
                "%s: stage %s saw %.1f %% of the last images, on validation images %.1f to "
                "%.1f %%: %s",
                self._name,
                stage,
                100 * share,
                100 * low,
                100 * high,
                "these pictures are of another kind, so accuracy and cost are not what was measured"
                if self.raised[stage]
                else "as it should be again",
            )
