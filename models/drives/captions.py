"""What a recording knows of a frame, as facts, and these in words: sentences and queries.

A fact is a number per kind of `KINDS`; `UNKNOWN` says that it is not known, or not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.types import RoadOption
from edge.drives.words import MARKS, QUERY_WORDS, Vocabulary

UNKNOWN = -1

#: Kinds of facts, in the order of a sentence.
KINDS = ("weather", "command", "junction", "road")

#: Weathers of `bicameral collect` that are described, in the order of their facts.
WEATHERS = ("clear", "low_sun", "fog", "night")

#: A road bends if the route is so far to the side 25 m ahead.
_BEND_M = 3.0
#: Row of `ahead_m` 25 m ahead; see docs/dataset.md.
_ROW_25_M = 4

#: By kind and fact: the sentence, then what a query may say instead. A command's sentence is left
#: out where it is not known.
PHRASES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        ("it is a clear day", "clear day", "day", "clear", "sunny"),
        ("the sun is low", "low sun", "sunset", "evening"),
        ("it is foggy", "fog", "foggy", "in fog", "mist"),
        ("it is night", "night", "at night", "dark"),
    ),
    (
        ("the car follows the lane", "follow the lane", "following the lane"),
        ("the car turns left", "left turn", "turn left", "turning left"),
        ("the car turns right", "right turn", "turn right", "turning right"),
        ("the car goes straight on", "straight on", "going straight on"),
    ),
    (
        ("no junction is close", "no junction", "between junctions"),
        ("a junction is close", "junction close", "before a junction", "crossing ahead"),
        ("the car is in a junction", "in a junction", "inside a crossing", "in the junction"),
    ),
    (
        ("the road bends left", "left bend", "road bends left", "curve to the left"),
        ("the road is straight", "straight road", "road is straight"),
        ("the road bends right", "right bend", "road bends right", "curve to the right"),
    ),
)


def _all_words() -> tuple[str, ...]:
    phrases = (phrase for facts in PHRASES for told in facts for phrase in told)
    return (*MARKS, ".", ",", *sorted({word for phrase in phrases for word in phrase.split()}))


VOCABULARY = Vocabulary(_all_words())

#: Words of the longest sentence, its beginning and end included.
SENTENCE_WORDS = 2 + sum(max(len(told[0].split()) + 1 for told in facts) for facts in PHRASES)


def facts_of(labels: Mapping[str, NDArray[Any]], weather: str) -> NDArray[np.int64]:
    """Return the facts (N, 4) of an episode's frames.

    Vehicles and lights are left out: the trunk of a path network hardly shows them.

    Args:
        labels: Columns of labels.npz, N rows; see docs/dataset.md.
        weather: Of the episode; another than `WEATHERS` is not known.
    """
    command, inside = labels["command"], labels["in_junction"].astype(bool)
    side_m = labels["ahead_m"][:, _ROW_25_M, 1]
    count = len(command)
    turns = [RoadOption.LEFT, RoadOption.RIGHT, RoadOption.STRAIGHT]
    told = np.select([command == int(turn) for turn in turns], [1, 2, 3], 0)
    columns = (
        np.full(count, WEATHERS.index(weather) if weather in WEATHERS else UNKNOWN),
        told,
        # A route's command holds from 15 m before a junction to its end.
        np.where(inside, 2, np.where(told > 0, 1, 0)),
        np.digitize(side_m, [-_BEND_M, _BEND_M]),
    )
    return np.stack(columns, axis=1).astype(np.int64)


def caption(facts: Sequence[int]) -> str:
    """Return the sentences of one frame's facts; what is not known is left out."""
    told = (PHRASES[kind][fact][0] for kind, fact in enumerate(facts) if fact != UNKNOWN)
    return "".join(f"{sentence} . " for sentence in told)


def draw_query(facts: Sequence[int], rng: np.random.Generator) -> tuple[str, NDArray[np.int64]]:
    """Return a query that fits a frame, and the facts (4,) that it asks for: one to four."""
    known = [kind for kind, fact in enumerate(facts) if fact != UNKNOWN]
    asked = np.full(len(KINDS), UNKNOWN)
    phrases: list[str] = []
    count = int(rng.integers(1, 5))
    for kind in rng.permutation(known)[:count]:
        phrase = str(rng.choice(PHRASES[kind][facts[kind]][1:]))
        if len(VOCABULARY.numbers(" , ".join([*phrases, phrase]))) > QUERY_WORDS:
            break
        phrases.append(phrase)
        asked[kind] = facts[kind]
    return " , ".join(phrases), asked


def fits(asked: NDArray[np.int64], facts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which frames (N, 4) a query (..., 4) asks for, (..., N)."""
    wanted = asked[..., None, :]
    return np.asarray(((wanted == UNKNOWN) | (wanted == facts)).all(axis=-1))
