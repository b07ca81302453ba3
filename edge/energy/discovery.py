"""Which meter this machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bicameral.errors import unknown_name
from edge.energy import ina3221, nvml, rapl
from edge.energy.meter import Meter, NoMeter

#: Every kind of meter by its name.
METERS: dict[str, Callable[[Path], Meter | NoMeter]] = {
    ina3221.NAME: ina3221.find_ina3221,
    rapl.NAME: rapl.find_rapl,
    nvml.NAME: lambda root: nvml.find_nvml(),
}

#: Taken without being asked for, the first that is there. A graphics card's meter is not: it says
#: nothing about networks that run on the processor, and it would be there where RAPL is refused.
AUTOMATIC = (ina3221.NAME, rapl.NAME)


def require_meter_kind(kind: str) -> None:
    """Raise `UserError`, which lists the kinds of meters, if `kind` is none of them."""
    if kind not in ("auto", "none", *METERS):
        raise unknown_name("meter", kind, ["auto", "none", *METERS])


def find_meter(kind: str = "auto", root: Path = Path("/")) -> Meter | NoMeter:
    """Return a meter, or why there is none.

    Args:
        kind: Name of an entry of `METERS`; ``auto``: the first of `AUTOMATIC`; ``none``: none.
        root: Folder that holds ``sys``.

    Raises:
        UserError: If there is no such kind.
    """
    require_meter_kind(kind)
    if kind == "none":
        return NoMeter(name=kind, reason="no meter was wanted")
    reasons = []
    for name in AUTOMATIC if kind == "auto" else (kind,):
        found = METERS[name](root)
        if not isinstance(found, NoMeter):
            return found
        reasons.append(f"{found.name}: {found.reason}")
    return NoMeter(name=kind, reason="; ".join(reasons))
