"""What the Makefile hands on to the processes that it starts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_bytecode_is_kept_also_where_the_caller_keeps_none() -> None:
    shown = subprocess.run(
        ["make", "--silent", "--eval", "show: ; @echo [$$PYTHONDONTWRITEBYTECODE]", "show"],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "[]\n"
