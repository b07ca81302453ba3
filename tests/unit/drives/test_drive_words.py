"""What a recording knows of a frame becomes sentences and queries."""

from __future__ import annotations

import numpy as np
import pytest

from bicameral.errors import UserError
from edge.drives.words import PAD, QUERY_WORDS
from models.drives.captions import (
    PHRASES,
    SENTENCE_WORDS,
    UNKNOWN,
    VOCABULARY,
    caption,
    draw_query,
    facts_of,
    fits,
)


def labels(count: int, **columns: object) -> dict[str, np.ndarray]:
    usual = {
        "command": np.full(count, 4, np.int8),
        "in_junction": np.zeros(count, bool),
        "ahead_m": np.zeros((count, 6, 2), np.float32),
    }
    return usual | {name: np.asarray(value) for name, value in columns.items()}


def test_facts_follow_from_the_columns_of_a_recording() -> None:
    ahead = np.zeros((3, 6, 2), np.float32)
    ahead[:, 4, 1] = (-5.0, 0.0, 5.0)
    found = facts_of(
        labels(3, command=[1, 3, 4], in_junction=[False, True, False], ahead_m=ahead), "night"
    )
    assert [VOCABULARY.sentence(VOCABULARY.numbers(caption(one))) for one in found] == [
        "It is night. The car turns left. A junction is close. The road bends left.",
        "It is night. The car goes straight on. The car is in a junction. The road is straight.",
        "It is night. The car follows the lane. No junction is close. The road bends right.",
    ]


def test_a_weather_that_is_not_described_is_left_out_of_the_sentence() -> None:
    (facts,) = facts_of(labels(1), "dense_fog")
    assert facts[0] == UNKNOWN
    assert caption(facts).startswith("the car follows the lane")


def test_every_sentence_and_every_drawn_query_has_room() -> None:
    rng = np.random.default_rng(0)
    for facts in np.ndindex(*(len(kind) for kind in PHRASES)):
        assert len(VOCABULARY.numbers(caption(facts))) + 2 <= SENTENCE_WORDS
        text, asked = draw_query(facts, rng)
        assert len(VOCABULARY.query(text)) == QUERY_WORDS
        assert fits(asked, np.array([facts])).all()


def test_a_query_fits_the_frames_of_which_all_is_true_that_it_asks() -> None:
    facts = np.array([[3, 1, 1, 0], [3, 0, 1, 0]])
    assert fits(np.array([3, UNKNOWN, 1, UNKNOWN]), facts).tolist() == [True, True]
    assert fits(np.array([3, 1, UNKNOWN, UNKNOWN]), facts).tolist() == [True, False]


def test_the_query_of_the_page_is_known_whatever_its_case() -> None:
    numbers = VOCABULARY.query("Night, LEFT turn, junction close")
    assert numbers[-1] == PAD
    assert VOCABULARY.sentence(numbers) == "Night, left turn, junction close"


def test_an_unknown_word_is_named_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"unknown word 'nigth'; known: .*night.* 'night'\?"):
        VOCABULARY.query("nigth, left turn")


def test_a_query_without_words_or_with_too_many_is_refused() -> None:
    with pytest.raises(UserError, match="has no words; known: "):
        VOCABULARY.query(" , ")
    with pytest.raises(UserError, match="has 17 words and commas, at most 16"):
        VOCABULARY.query("night " * 17)
