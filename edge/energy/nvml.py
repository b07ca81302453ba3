"""NVML: the energy counter of NVIDIA's graphics cards, or their power where they do not count.

On Jetson modules the library loads and initialises, but tells neither power nor energy. That is
no meter, not a meter that reads nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

from bicameral.errors import MeterError
from edge.energy.meter import MeterInfo, NoMeter

NAME = "nvml"

#: Boards average over tens of milliseconds, and the driver renews the figures every 20 to 100 ms.
_UPDATE_PERIOD_S = 0.1

#: No card draws more over a second.
_MAX_CARD_W = 2500.0

_COVERS = (
    "the whole graphics card {index} of {count} with its memory; not the processor, the main "
    "memory nor the power supply"
)


class Nvml:
    """`edge.energy.meter.Meter` of one card; joules are counted since the driver was loaded."""

    wraps = 0  # 64 bits

    def __init__(self, library: Any, device: Any, info: MeterInfo) -> None:
        """Read it once.

        Raises:
            MeterError: If the card does not tell what `info` says.
        """
        self._library, self._device, self.info = library, device, info
        self.read()

    def read(self) -> float:
        """Return joules or watts.

        Raises:
            MeterError: If the library refuses.
        """
        counts = self.info.kind == "counter"
        name = "nvmlDeviceGetTotalEnergyConsumption" if counts else "nvmlDeviceGetPowerUsage"
        try:
            return float(getattr(self._library, name)(self._device)) / 1e3
        except self._library.NVMLError as error:
            what = "energy counter" if counts else "power reading"
            raise MeterError(f"NVML's {what}: {error}") from error

    def close(self) -> None:
        """Release the library."""
        self._library.nvmlShutdown()


def find_nvml() -> Nvml | NoMeter:
    """Return the meter of the first graphics card, or why there is none."""
    try:
        library: Any = importlib.import_module("pynvml")
    except ImportError:
        return NoMeter(
            name=NAME, reason="nvidia-ml-py is not installed (pip install 'bicameral[nvidia]')"
        )
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return NoMeter(name=NAME, reason=f"no NVIDIA driver: {error}")
    try:
        return _open(library)
    except (MeterError, library.NVMLError) as error:
        library.nvmlShutdown()
        return NoMeter(
            name=NAME, reason=f"the card tells neither energy nor power, as on Jetson: {error}"
        )


def _open(library: Any) -> Nvml:
    """Open the first card: its counter if it has one."""
    device = library.nvmlDeviceGetHandleByIndex(0)
    name = library.nvmlDeviceGetName(device)

    def info(kind: Any) -> MeterInfo:
        return MeterInfo(
            name=NAME,
            source=f"{kind} of {name}",
            covers=_COVERS.format(index=0, count=library.nvmlDeviceGetCount()),
            kind=kind,
            update_period_s=_UPDATE_PERIOD_S,
            resolution=1e-3,
            max_power_w=_MAX_CARD_W,
        )

    try:
        return Nvml(library, device, info("counter"))
    except MeterError:
        return Nvml(library, device, info("power"))
