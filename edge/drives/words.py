"""The words of a drive reader: from a query to numbers, and from numbers to a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bicameral.errors import UserError, unknown_name

#: The first three words of every vocabulary: what fills a query up, and where a sentence begins
#: and ends.
PAD, BEGIN, END = 0, 1, 2
MARKS = ("<pad>", "<begin>", "<end>")

#: Every query is filled up to so many words; the network searches with what fills it, too.
QUERY_WORDS = 16

_TOKEN = re.compile(r"[^\W_]+|[.,]")


class Vocabulary:
    """The words that a network knows, by number."""

    def __init__(self, words: Sequence[str]) -> None:
        """Take the words in order, `MARKS` first."""
        self.words = tuple(words)
        self._numbers = {word: number for number, word in enumerate(words)}

    def numbers(self, text: str) -> list[int]:
        """Return the number of every word and mark of a text, whose case does not matter.

        Raises:
            UserError: If a word is not known; the message lists those that are.
        """
        found = _TOKEN.findall(text.lower())
        for token in found:
            if token not in self._numbers:
                raise unknown_name("word", token, self._plain())
        return [self._numbers[token] for token in found]

    def query(self, text: str) -> list[int]:
        """Return `QUERY_WORDS` numbers.

        Raises:
            UserError: If there is no word, an unknown one, or there are too many.
        """
        numbers = self.numbers(text)
        known = self._plain()
        if not any(self.words[number] in known for number in numbers):
            raise UserError(f"the query {text!r} has no words; known: {', '.join(known)}")
        if len(numbers) > QUERY_WORDS:
            raise UserError(
                f"the query has {len(numbers)} words and commas, at most {QUERY_WORDS} are read; "
                "shorten it"
            )
        return numbers + [PAD] * (QUERY_WORDS - len(numbers))

    def sentence(self, numbers: Sequence[int]) -> str:
        """Return the text of numbers, without the marks."""
        text = " ".join(self.words[number] for number in numbers if number >= len(MARKS))
        sentences = text.replace(" .", ".").replace(" ,", ",").split(". ")
        return ". ".join(one[:1].upper() + one[1:] for one in sentences)

    def _plain(self) -> list[str]:
        return sorted(word for word in self.words[len(MARKS) :] if word.isalnum())
