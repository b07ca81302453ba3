"""What the repository's layout promises."""

import re
import tomllib
from pathlib import Path

from bicameral.cli.extras import extra_packages

ROOT = Path(__file__).resolve().parents[2]


def test_tests_and_docker_are_no_packages():
    for folder in ("tests", "docker"):
        assert not list((ROOT / folder).rglob("__init__.py"))


def test_the_command_line_knows_what_every_extra_brings():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    expected = {
        extra: {re.split(r"[\[;=<>]", line)[0].strip() for line in requirements}
        for extra, requirements in settings["project"]["optional-dependencies"].items()
    }
    assert {extra: set(names) for extra, names in extra_packages().items()} == expected


def test_the_lock_files_name_no_package_index():
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in lock.read_text()


def test_the_evaluation_lock_holds_no_torch():
    assert "torch==" not in (ROOT / "requirements" / "evaluate.txt").read_text()
