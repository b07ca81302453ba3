"""Every study says what it claims, and runs; those of papers do in a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bicameral.errors import DataError
from studies import __main__ as command
from studies.__main__ import main
from studies.study import Study, all_studies

STUDIES = {name: study for name, study in all_studies().items() if study.paper is None}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_a_study_says_its_claim_and_its_setting(study: Study) -> None:
    assert study.claim.endswith(".")
    assert study.setting


#: `test_path_fusion.py` drives its quick plan twice.
RUN_ELSEWHERE = {"path_fusion"}


@pytest.mark.parametrize("name", sorted(STUDIES.keys() - RUN_ELSEWHERE))
def test_a_study_runs_quickly_on_few_data(name: str, tmp_path: Path) -> None:
    assert main([name, "--quick", "--output", str(tmp_path)]) in (0, 1)


def test_the_list_names_every_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in STUDIES)


def test_an_unknown_study_is_an_error_that_names_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["nonesuch"]) == 2
    assert "unknown study 'nonesuch'" in capsys.readouterr().err


def test_without_a_name_the_quick_run_repeats_all_papers_and_goes_on_after_one_that_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_data(_folder: Path, _quick: bool) -> int:
        raise DataError("no pictures")

    def doubtful(folder: Path, quick: bool) -> int:
        return int(quick and folder.is_dir())

    known = {
        name: Study(claim="One.", setting="Here.", run=run)
        for name, run in {"first": without_data, "second": doubtful}.items()
    }
    monkeypatch.setattr(command, "paper_studies", lambda: known)
    assert main(["--quick", "--output", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.err == "error: first: no pictures\n"
    assert [line.split(":")[0] for line in printed.out.splitlines()] == ["first", "second", "all"]
    known.pop("first")
    assert main(["--quick", "--output", str(tmp_path)]) == 0
