"""The state of a device that decides its power: mode, clocks, temperatures, throttling, versions.

Everything is read from files and commands that need no installation. What cannot be read is None,
which reports write as *unknown*: a guess would look like a fact.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.energy.system_files import read_integer, read_text

#: Cooling devices that cool instead of slowing down.
_FANS = ("fan",)

_NVPMODEL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """A device at one moment; None is unknown.

    Attributes:
        board: What the device tree calls it.
        processor: What the kernel calls its processor.
        system: Kernel, and on a Jetson the release of Linux for Tegra.
        power_mode: What ``nvpmodel -q`` says.
        clocks_pinned: Whether least and greatest frequency of every core are equal, as
            ``jetson_clocks`` sets them.
        cpu_frequencies_hz: By core.
        other_frequencies_hz: Of devices that scale theirs, e.g. graphics and memory.
        temperatures_c: By thermal zone, degrees Celsius.
        throttling: Counters and levels that rise when something is slowed down, by name.
        load_average: Over the last minute.
    """

    board: str | None
    processor: str | None
    system: str
    power_mode: str | None
    clocks_pinned: bool | None
    cpu_frequencies_hz: Mapping[str, int]
    other_frequencies_hz: Mapping[str, int]
    temperatures_c: Mapping[str, float]
    throttling: Mapping[str, int]
    load_average: float | None


def read_device_state(root: Path = Path("/")) -> DeviceState:
    """Look at a device.

    Args:
        root: Folder that holds ``sys``, ``proc`` and ``etc``.
    """
    return DeviceState(
        board=read_text(root / "proc/device-tree/model"),
        processor=_processor(root),
        system=_system(root),
        power_mode=_power_mode(),
        clocks_pinned=_clocks_pinned(root),
        cpu_frequencies_hz=dict(_cpu_frequencies(root)),
        other_frequencies_hz=dict(_other_frequencies(root)),
        temperatures_c=dict(_temperatures(root)),
        throttling=read_throttling(root),
        load_average=_load_average(root),
    )


def read_throttling(root: Path = Path("/")) -> dict[str, int]:
    """Return what rises when something is slowed down, by name; empty where nothing tells.

    Args:
        root: Folder that holds ``sys``.
    """
    found = {}
    for pattern in (
        "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count",  # x86
        "sys/class/hwmon/hwmon*/oc*_event_cnt",  # Jetson: over-current
        "sys/class/hwmon/hwmon*/curr*_crit_alarm",
        "sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/curr*_crit_alarm",
    ):
        for path in sorted(root.glob(pattern)):
            value = read_integer(path)
            if value is not None:
                found[str(path.relative_to(root))] = value
    for folder in sorted(root.glob("sys/class/thermal/cooling_device*")):
        kind, level = read_text(folder / "type"), read_integer(folder / "cur_state")
        if kind and level is not None and not any(fan in kind.lower() for fan in _FANS):
            found[f"{kind} ({folder.name})"] = level
    return found


def throttling_between(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    """Return what speaks against a window: what rose during it, or was slowed down already.

    Args:
        before: `read_throttling` before it.
        after: The same after it.
    """
    counters = ("_count", "_cnt")
    faults = []
    for name in sorted(before.keys() & after.keys()):
        if after[name] > before[name]:
            faults.append(f"throttled: {name} rose from {before[name]} to {after[name]}")
        elif before[name] > 0 and not name.endswith(counters):
            faults.append(f"throttled: {name} was {before[name]}")
    return tuple(faults)


def _processor(root: Path) -> str | None:
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware"):
            return value.strip()
    return platform.machine() or None


def _system(root: Path) -> str:
    release = read_text(root / "etc/nv_tegra_release")
    return f"{platform.system()} {platform.release()}" + (f", L4T {release}" if release else "")


def _power_mode() -> str | None:
    command = shutil.which("nvpmodel")
    if command is None:
        return None
    try:
        run = subprocess.run(
            [command, "-q"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_NVPMODEL_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return " ".join(run.stdout.split()) or None


def _clocks_pinned(root: Path) -> bool | None:
    limits = [
        (read_integer(folder / "scaling_min_freq"), read_integer(folder / "scaling_max_freq"))
        for folder in root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    ]
    known = [pair for pair in limits if None not in pair]
    return all(low == high for low, high in known) if known else None


def _cpu_frequencies(root: Path) -> Iterator[tuple[str, int]]:
    for folder in sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq")):
        frequency_khz = read_integer(folder / "scaling_cur_freq")
        if frequency_khz is not None:
            yield folder.parent.name, 1000 * frequency_khz


def _other_frequencies(root: Path) -> Iterator[tuple[str, int]]:
    for folder in sorted(root.glob("sys/class/devfreq/*")):
        frequency_hz = read_integer(folder / "cur_freq")
        if frequency_hz is not None:
            yield folder.name, frequency_hz
    for name in ("sys/kernel/debug/bpmp/debug/clk/emc/rate", "sys/kernel/debug/clk/emc/clk_rate"):
        frequency_hz = read_integer(root / name)
        if frequency_hz is not None:
            yield "memory (emc)", frequency_hz
            return


def _temperatures(root: Path) -> Iterator[tuple[str, float]]:
    for folder in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        kind, value = read_text(folder / "type"), read_integer(folder / "temp")
        if kind and value is not None:
            yield f"{kind} ({folder.name})", value / 1e3


def _load_average(root: Path) -> float | None:
    text = read_text(root / "proc/loadavg")
    try:
        return None if text is None else float(text.split()[0])
    except (ValueError, IndexError):
        return None
