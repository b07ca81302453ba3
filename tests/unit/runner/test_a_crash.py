"""A test that ends its process fails by name, and every other test still runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = Path(__file__).with_name("crashing")


@pytest.mark.parametrize(
    "files",
    [
        ["aborts.py"],  # nothing else to do: the other runner has been sent home
        ["passes_one.py", "passes_two.py", "aborts.py", "passes_three.py"],
    ],
)
def test_an_abort_fails_one_named_test_and_the_run_ends(files: list[str]) -> None:
    paths = [str(FOLDER / name) for name in files]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n2",
            "--dist=loadfile",
            "-q",
            "-pno:schemathesis",
            *paths,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    passed = 5 + 3 * (len(files) - 1)
    assert f"1 failed, {passed} passed" in done.stdout, done.stdout + done.stderr
    assert "crashed while running 'tests/unit/runner/crashing/aborts.py::test_that_aborts'" in (
        done.stdout
    )
    assert done.returncode == 1


def test_quick_runs_of_studies_are_handed_out_one_by_one(request: pytest.FixtureRequest) -> None:
    conftest = request.config.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    split = conftest.CrashTolerantFiles._split_scope
    scheduler = object.__new__(conftest.CrashTolerantFiles)
    one = "tests/studies/test_studies.py::test_a_study_runs_quickly_on_few_data[zoo]"
    assert split(scheduler, one) == one
    assert split(scheduler, "tests/unit/test_cli.py::test_help[a]") == "tests/unit/test_cli.py"
