"""What is said of networks: a sentence, and the section of the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from bicameral.page import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A section of the page, and what it comes to in a sentence."""

    sentence: str
    section: Section
