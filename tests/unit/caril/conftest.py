"""A tiny data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorded_drives import write_episode


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training episodes, two of DAgger, two validation and one test episode."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(6):
        write_episode(folder, "Train01", f"e{number:03}")
        write_episode(folder, "Train02", f"e{number:03}", weather="fog" if number > 3 else "night")
    for number in range(2):
        write_episode(folder, "Train01", f"d{number:03}", driver="dagger:a")
        write_episode(folder, "Valley", f"v{number:03}", split="validation")
    write_episode(folder, "Ridgeway", "t000", split="test")
    return folder
