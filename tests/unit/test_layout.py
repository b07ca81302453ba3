"""What the repository's layout promises."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_tests_and_docker_are_no_packages():
    for folder in ("tests", "docker"):
        assert not list((ROOT / folder).rglob("__init__.py"))


def test_the_extras_table_of_the_command_line_equals_the_packaging():
    from bicameral.cli.extras import EXTRA_PACKAGES

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for extra, requirements in settings["project"]["optional-dependencies"].items():
        names = {re.split(r"[\[;=<>]", line)[0].strip() for line in requirements}
        assert names == set(EXTRA_PACKAGES[extra])


def test_the_lock_files_name_no_package_index():
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text()


def test_the_evaluation_lock_holds_no_torch():
    assert "torch==" not in (ROOT / "requirements" / "evaluate.txt").read_text()
