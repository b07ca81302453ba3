"""The blueprint library of the pocket simulator."""

from __future__ import annotations

from sim.pocket.blueprints.attributes import Attribute, AttributeType, Blueprint
from sim.pocket.blueprints.library import BLUEPRINTS, blueprint_by_id
from sim.pocket.blueprints.props import prop_half_extent
from sim.pocket.blueprints.sensors import SENSOR_ATTRIBUTES

__all__ = [
    "BLUEPRINTS",
    "SENSOR_ATTRIBUTES",
    "Attribute",
    "AttributeType",
    "Blueprint",
    "blueprint_by_id",
    "prop_half_extent",
]
