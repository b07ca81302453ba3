"""What the repository's layout promises."""

import ast
import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

from bicameral.cli.extras import extra_packages

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agent", "bicameral", "edge", "models", "server", "sim", "studies")
LONGEST_FUNCTION = 100


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


def product_code():
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def test_no_function_is_over_100_lines():
    too_long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in product_code()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert too_long == []


def test_no_modules_import_each_other_in_a_circle():
    # What is imported for types alone does not run.
    graph = grimp.build_graph(*PACKAGES, cache_dir=None, exclude_type_checking_imports=True)
    TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).prepare()  # raises CycleError, which names the circle


def test_nobody_types_the_quantile_of_an_interval():
    # `bicameral.statistics` computes it.
    assert [
        path for path in product_code() if re.search(r"\b1\.96\b|\b1\.959", path.read_text())
    ] == []
