"""`bicameral doctor`: what this machine has, what is missing, and how to mend it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bicameral.cli.extras import extra_packages, missing_packages
from bicameral.simulation import CARLA_VERSION
from bicameral.tables import Cell, list_table, print_table
from edge.energy.discovery import METERS
from edge.energy.meter import NoMeter

FAILED_EXIT_CODE = 3

#: Shared library that an import error may name -> the Debian package that holds it.
DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}


class Status(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    NOTE = "note"
    FAIL = "fail"


#: How they are coloured on a terminal.
_STYLES = {Status.OK: "green", Status.NOTE: "yellow", Status.FAIL: "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report: what was looked at, what was found, and the fix if one is due."""

    subject: str
    status: Status
    value: str
    fix: str = ""


def _judge(
    fine: bool, subject: str, value: str, *, fix: str, otherwise: Status = Status.FAIL
) -> Finding:
    """Return what was found; the fix and another status than OK only where it is not fine."""
    if fine:
        return Finding(subject=subject, status=Status.OK, value=value)
    return Finding(subject=subject, status=otherwise, value=value, fix=fix)


def doctor(*, host: str = "127.0.0.1", port: int = 2000) -> int:
    """Check versions, optional packages, the carla wheel, a running server, and folders.

    Args:
        host: Host of the simulator to look for.
        port: Port of the simulator to look for.
    """
    findings = list(examine(host, port))
    print_table(
        list_table(
            "bicameral doctor",
            findings,
            {
                "": lambda one: Cell(text=one.status, style=_STYLES[one.status]),
                "what": lambda one: one.subject,
                "found": lambda one: one.value,
                "fix": lambda one: one.fix,
            },
            words=4,
        )
    )
    failed = any(finding.status is Status.FAIL for finding in findings)
    return FAILED_EXIT_CODE if failed else 0


def examine(host: str, port: int) -> Iterator[Finding]:
    """Yield every finding; a check that breaks is a finding too, never an exception.

    Args:
        host: Host of the simulator to look for.
        port: Port of the simulator to look for.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _extras,
        _carla,
        _pocket_limits,
        lambda: _server(host, port),
        _ignored_attributes,
        _folders,
        _programs,
        _energy_meters,
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding(subject="check failed", status=Status.FAIL, value=repr(error))


def _python() -> Iterator[Finding]:
    known = (3, 11) <= sys.version_info[:2] <= (3, 12)
    fix = "use Python 3.11 or 3.12; the carla wheel exists for no later one"
    yield _judge(known, "Python", platform.python_version(), fix=fix)
    machine = f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} CPUs"
    here = platform.system() == "Linux" and platform.machine() == "x86_64"
    fix = "the carla wheel needs x86-64 Linux; edge and agent run here"
    yield _judge(here, "platform", machine, fix=fix, otherwise=Status.NOTE)


def _packages() -> Iterator[Finding]:
    yield _import_finding("numpy", "numpy")
    yield _import_finding("onnxruntime", "onnxruntime")
    yield _import_finding("cv2", "opencv-python-headless")


def _extras() -> Iterator[Finding]:
    for extra in extra_packages():
        missing = missing_packages(extra)
        value = f"not installed: {', '.join(missing)}" if missing else "installed"
        fix = f"pip install 'bicameral[{extra}]'"
        yield _judge(not missing, f"extra '{extra}'", value, fix=fix, otherwise=Status.NOTE)


def _carla() -> Iterator[Finding]:
    finding = _import_finding("carla", "carla", otherwise=Status.NOTE)
    if finding.status is Status.OK and finding.value != CARLA_VERSION:
        fix = f"pip install carla=={CARLA_VERSION}; other versions differ on the wire"
        finding = _judge(False, "carla wheel", finding.value, fix=fix)
    yield finding


def _pocket_limits() -> Iterator[Finding]:
    if missing_packages("sim"):
        return
    from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT

    for what, table in (("without effect", WITHOUT_EFFECT), ("refused", REFUSED)):
        yield Finding(
            subject=f"calls {what} on the pocket simulator",
            status=Status.OK,
            value=", ".join(table),
            fix="; ".join(dict.fromkeys(table.values())),
        )


def _import_finding(module: str, distribution: str, otherwise: Status = Status.FAIL) -> Finding:
    """Import in a process of its own: a broken native library may crash the interpreter."""
    run = subprocess.run(
        [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
    )
    if run.returncode == 0:
        return _judge(True, distribution, importlib.metadata.version(distribution), fix="")
    reason = (run.stderr.strip().splitlines() or [f"exit code {run.returncode}"])[-1]
    fix = f"pip install {distribution}"
    for library, package in DEBIAN_PACKAGES.items():
        if library in reason:
            fix = f"apt-get install {package}"
    return _judge(False, distribution, reason, fix=fix, otherwise=otherwise)


def _server(host: str, port: int) -> Iterator[Finding]:
    subject = f"simulator at {host}:{port}"
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError as error:
        fix = f"none needed for `bicameral evaluate`; else: bicameral simulate --port {port}"
        yield _judge(False, subject, f"not reachable ({error})", fix=fix, otherwise=Status.NOTE)
        return
    question = (
        "import sys, carla\n"
        "client = carla.Client(sys.argv[1], int(sys.argv[2])); client.set_timeout(3.0)\n"
        "sys.stdout.write(client.get_server_version())"
    )
    run = subprocess.run(
        [sys.executable, "-c", question, host, str(port)],
        capture_output=True,
        text=True,
        check=False,
    )
    version = run.stdout.strip()
    exact = run.returncode == 0 and version == CARLA_VERSION
    value = version or "the port is open, but no CARLA server answers"
    fix = f"start CARLA {CARLA_VERSION} or `bicameral simulate` there"
    yield _judge(exact, subject, value, fix=fix)


def _ignored_attributes() -> Iterator[Finding]:
    if missing_packages("sim"):
        return
    from sim.pocket.sensors.lens import IGNORED_ATTRIBUTES

    yield Finding(
        subject="pocket simulator's cameras",
        status=Status.NOTE,
        value=f"accepted without effect: {', '.join(IGNORED_ATTRIBUTES)}",
    )


def _folders() -> Iterator[Finding]:
    temporary = Path(tempfile.gettempdir())
    for subject, folder in (("results folder", Path("runs")), ("temporary folder", temporary)):
        existing = folder
        while not existing.exists():
            existing = existing.parent
        writable = os.access(existing, os.W_OK)
        value = f"{folder}: {shutil.disk_usage(existing).free / 2**30:.0f} GiB free"
        fix = f"make {existing} writable, or choose another with --output"
        yield _judge(writable, subject, value, fix=fix)


def _programs() -> Iterator[Finding]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    yield _judge(
        found is not None,
        "Chromium (tests only)",
        found or "not found",
        fix="apt-get install chromium",
        otherwise=Status.NOTE,
    )


def _energy_meters() -> Iterator[Finding]:
    for kind, find in METERS.items():
        found = find(Path("/"))
        subject = f"energy meter {kind}"
        if isinstance(found, NoMeter):
            yield Finding(subject=subject, status=Status.NOTE, value=f"none: {found.reason}")
        else:
            with closing(found):
                yield Finding(subject=subject, status=Status.OK, value=found.info.source)
