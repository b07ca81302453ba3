"""Which lights of a map share a phase, from its ``<controller>`` elements."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

from sim.opendrive import number_of

#: Header of the towns made here. Each of their signals has a controller of its own, but results
#: that were published rest on opposing approaches being green together.
_OWN_VENDOR = "bicameral"


class Phase(NamedTuple):
    """One controller of a junction; phases of a junction follow each other in this order.

    Attributes:
        junction_id: The junction that names the controller, None if none does.
        sequence: Its place in the cycle, as the junction says, else as the controller does.
        position: Its place in the document, where sequences are equal.
    """

    junction_id: int | None
    sequence: float
    position: int


def read_phases(opendrive: str) -> dict[str, Phase]:
    """Return the phase of every signal that a controller switches, by signal id.

    Args:
        opendrive: A text that carla has parsed. What is no XML has no phases.
    """
    try:
        root = ElementTree.fromstring(opendrive)  # noqa: S314 - expat bounds entity expansion
    except ElementTree.ParseError:
        return {}
    header = root.find("header")
    if header is not None and header.get("vendor") == _OWN_VENDOR:
        return {}
    named: dict[str, tuple[int | None, float | None]] = {}
    for junction in root.iter("junction"):
        number = number_of(junction.get("id"))
        for reference in junction.findall("controller"):
            place = (None if number is None else int(number), number_of(reference.get("sequence")))
            named.setdefault(reference.get("id", ""), place)
    phases: dict[str, Phase] = {}
    for position, controller in enumerate(root.findall("controller")):
        junction_id, sequence = named.get(controller.get("id", ""), (None, None))
        if sequence is None:
            sequence = number_of(controller.get("sequence"))
        phase = Phase(junction_id, 0.0 if sequence is None else sequence, position)
        for control in controller.iter("control"):
            # A signal of several controllers goes with the last: were it green with each of them,
            # two controllers would show green together.
            phases[control.get("signalId", "")] = phase
    return phases
