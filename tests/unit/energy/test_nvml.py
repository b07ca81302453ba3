"""NVML through NVIDIA's own Python bindings, over a stand-in for the driver's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUCCESS, NOT_SUPPORTED = 0, 3

PROBE = """
import json, sys
from edge.energy.meter import NoMeter
from edge.energy.nvml import find_nvml
found = find_nvml()
if isinstance(found, NoMeter):
    told = {"reason": found.reason}
else:
    read = found.read
    told = {"kind": found.info.kind, "source": found.info.source, "covers": found.info.covers}
    told["readings"] = [read(), read()]
    found.close()
json.dump(told, sys.stdout)
"""


def probe(folder: Path, *, energy: int, power: int) -> dict[str, Any]:
    """Return what is found where the library answers with these codes."""
    library = folder / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_stub.c")
    codes = (f"-DENERGY={energy}", f"-DPOWER={power}")
    compile_it = ["cc", "-shared", "-fPIC", *codes, "-o", str(library), str(source)]
    subprocess.run(compile_it, check=True)
    return run_probe({"LD_LIBRARY_PATH": str(folder)})


def run_probe(environment: dict[str, str]) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", PROBE],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    told: dict[str, Any] = json.loads(run.stdout)
    return told


def test_a_card_that_counts_is_a_counter(tmp_path: Path) -> None:
    told = probe(tmp_path, energy=SUCCESS, power=SUCCESS)
    assert told["kind"] == "counter"
    assert told["source"] == "counter of Made-up card"
    assert "card 0 of 2" in told["covers"]
    first_j, second_j = told["readings"]
    assert second_j - first_j == pytest.approx(0.25)


def test_a_card_that_does_not_count_tells_its_power(tmp_path: Path) -> None:
    told = probe(tmp_path, energy=NOT_SUPPORTED, power=SUCCESS)
    assert told["kind"] == "power"
    assert told["readings"] == [31.5, 31.5]


def test_a_library_that_supports_neither_is_no_meter(tmp_path: Path) -> None:
    """Jetson: it initialises and finds a device, and every reading is refused."""
    told = probe(tmp_path, energy=NOT_SUPPORTED, power=NOT_SUPPORTED)
    assert "neither energy nor power, as on Jetson" in told["reason"]
    assert "Not Supported" in told["reason"]


def test_a_machine_without_the_driver_is_told_so() -> None:
    told = run_probe({})
    assert told["reason"].startswith("no NVIDIA driver: ")
