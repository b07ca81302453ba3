"""RAPL: the energy counters of Intel's and AMD's processors, read from the kernel's powercap files.

Only packages are counted: cores, graphics and memory controllers lie inside a package, ``psys``
around it, and the same package may be reached a second time through ``intel-rapl-mmio``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import MeterError
from edge.energy.meter import MeterInfo, NoMeter
from edge.energy.system_files import read_integer, read_text, require_integer

NAME = "rapl"

_ZONES = "sys/class/powercap/intel-rapl:*"

#: The counters move about every millisecond (Intel SDM, volume 3B, 15.10).
_UPDATE_PERIOD_S = 1e-3

#: No package draws more over a second: the largest are built for 500 W.
_MAX_PACKAGE_W = 1000.0

#: The kernel's power limits hold on average; for a moment a package may draw more.
_LIMIT_FACTOR = 4.0

#: 2^-14 J, the usual unit of the registers behind the files, which are in microjoules.
_STEP_J = 2.0**-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The counter of one processor package.

    Attributes:
        name: What the kernel calls it, e.g. ``package-0``.
        energy_file: Microjoules.
        range_uj: Where the counter begins again at 0.
        max_power_w: More than it can draw.
    """

    name: str
    energy_file: Path
    range_uj: int
    max_power_w: float


class Rapl:
    """`edge.energy.meter.Meter` over all packages, which do not contain each other."""

    def __init__(self, packages: list[Package]) -> None:
        """Begin to count at 0.

        Raises:
            MeterError: If a counter cannot be read.
        """
        self._packages = packages
        self._last_uj = [require_integer(package.energy_file) for package in packages]
        self._total_uj = 0
        self.wraps = 0
        self.info = MeterInfo(
            name=NAME,
            source=", ".join(f"{item.name} ({item.energy_file})" for item in packages),
            covers=(
                "the processor packages (cores, caches, memory controller, built-in graphics); "
                "not memory, disks, fans nor the power supply: it is no wall power"
            ),
            kind="counter",
            update_period_s=_UPDATE_PERIOD_S,
            resolution=_STEP_J,
            max_power_w=sum(item.max_power_w for item in packages),
            range_j=min(item.range_uj for item in packages) / 1e6,
        )

    def read(self) -> float:
        """Return joules since it was made.

        Raises:
            MeterError: If a counter cannot be read, or is outside of its range.
        """
        for index, package in enumerate(self._packages):
            now_uj = require_integer(package.energy_file)
            if not 0 <= now_uj <= package.range_uj:
                raise MeterError(
                    f"{package.energy_file} holds {now_uj}, expected 0..{package.range_uj}"
                )
            self.wraps += now_uj < self._last_uj[index]
            self._total_uj += (now_uj - self._last_uj[index]) % package.range_uj
            self._last_uj[index] = now_uj
        return self._total_uj / 1e6

    def close(self) -> None:
        """Hold nothing, release nothing."""


def find_rapl(root: Path = Path("/")) -> Rapl | NoMeter:
    """Return the meter of all packages, or why there is none.

    Args:
        root: Folder that holds ``sys``.
    """
    packages = []
    for zone in sorted(root.glob(_ZONES)):
        name = read_text(zone / "name") or ""
        range_uj = read_integer(zone / "max_energy_range_uj")
        if name.startswith("package-") and range_uj:
            packages.append(
                Package(
                    name=name,
                    energy_file=zone / "energy_uj",
                    range_uj=range_uj,
                    max_power_w=_max_power_w(zone),
                )
            )
    if not packages:
        return NoMeter(
            name=NAME,
            reason="no RAPL package counter (another processor, a virtual machine or a container)",
        )
    try:
        return Rapl(packages)
    except MeterError as error:
        return NoMeter(name=NAME, reason=str(error))


def _max_power_w(zone: Path) -> float:
    """Return more than a package can draw: from its power limits, where the kernel shows them."""
    limits = (
        read_integer(path)
        for kind in ("power_limit_uw", "max_power_uw")
        for path in zone.glob(f"constraint_*_{kind}")
    )
    known_w = [limit / 1e6 for limit in limits if limit and limit > 0]
    return min(_LIMIT_FACTOR * max(known_w, default=_MAX_PACKAGE_W), _MAX_PACKAGE_W)
