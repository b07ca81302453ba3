"""Collected only by `test_a_crash.py`: the third test ends its process, as the carla client can."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("number", range(4))
def test_before(number: int) -> None:
    assert number < 4


def test_that_aborts() -> None:
    os.abort()


def test_after() -> None:
    assert True
