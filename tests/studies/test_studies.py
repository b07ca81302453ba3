"""Every study says what it claims, and runs; those of papers do in a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.__main__ import main
from studies.study import Study, all_studies

STUDIES = {name: study for name, study in all_studies().items() if study.paper is None}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_a_study_says_its_claim_and_its_setting(study: Study) -> None:
    assert study.claim.endswith(".")
    assert study.setting


@pytest.mark.parametrize("name", STUDIES)
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
