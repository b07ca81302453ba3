"""What a study is: a claim, and a function that measures whether it holds."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import studies
from studies import papers
from studies.claims import Paper

#: Where the data of studies are kept: a folder for each beside the scripts.
DATA = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study, made as `STUDY` in the file that has its name.

    Attributes:
        claim: What is to be shown, in one sentence that can turn out wrong.
        setting: Hardware, n, seeds and how long a whole run takes.
        run: Measures. It gets the folder to write to and whether a short run on few data is
            enough, prints what came of it, and returns the exit code: 0, or 1 if the claim does
            not hold. A full run writes one tidy CSV, a measurement a row, and its figures.
        needs: What a run needs that the repository lacks, such as a data set.
        paper: Whose claims it repeats, if it is about a paper; its verdicts stand in
            `docs/studies.md`.
    """

    claim: str
    setting: str
    run: Callable[[Path, bool], int]
    needs: str = ""
    paper: Paper | None = None


def all_studies() -> dict[str, Study]:
    """Return every study by its name, which is that of its file."""
    return dict(sorted({**_studies_in(studies.__path__, "studies"), **paper_studies()}.items()))


def paper_studies() -> dict[str, Study]:
    """Return the studies that repeat the claims of a paper, by name."""
    return _studies_in(papers.__path__, "studies.papers")


def _studies_in(folders: Sequence[str], package: str) -> dict[str, Study]:
    found = {}
    for module in pkgutil.iter_modules(folders):
        if module.name in ("__main__", "study"):
            continue
        study = getattr(importlib.import_module(f"{package}.{module.name}"), "STUDY", None)
        if isinstance(study, Study):
            found[module.name] = study
    return dict(sorted(found.items()))
