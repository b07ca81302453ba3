"""Markers follow from the folder, so that no test has to name its own kind."""

from pathlib import Path

import pytest

KINDS = ("unit", "contract", "property", "golden", "closed_loop", "bench")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(root).parts[0]
        if kind in KINDS:
            item.add_marker(kind)
