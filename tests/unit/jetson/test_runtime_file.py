"""What the runtime's file promises about itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from edge.jetson.bundle import RUNTIME

pytestmark = pytest.mark.unit

_FILE = Path(__file__).resolve().parents[3] / "edge" / "jetson" / RUNTIME


def test_it_is_written_in_python_3_6():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("vermin")), "-t=3.6-", "--no-tips", str(_FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Minimum required versions: 3.6" in done.stdout


def test_it_imports_the_standard_library_and_numpy_and_where_it_is_needed_tensorrt_and_pictures():
    at_the_top, inside = set(), set()
    tree = ast.parse(_FILE.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [n.name for n in node.names]
            )
            target = at_the_top if node in tree.body else inside
            target.update(name.split(".")[0] for name in names)
    assert at_the_top - set(sys.stdlib_module_names) == {"numpy"}
    assert inside - set(sys.stdlib_module_names) == {"tensorrt", "cv2", "PIL"}
