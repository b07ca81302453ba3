"""The blueprint library: everything that can be spawned, with complete attributes.

Scripts index attributes without asking whether they exist, so every blueprint carries all those of
CARLA 0.9.16, also where this simulator ignores the value.
"""

from __future__ import annotations

from bicameral.errors import look_up
from sim.pocket.blueprints.attributes import (
    Attribute,
    AttributeType,
    Blueprint,
    constant,
    variation,
)
from sim.pocket.blueprints.props import PROP_IDS, prop_size_class
from sim.pocket.blueprints.sensors import SENSOR_ATTRIBUTES
from sim.pocket.vehicles import VEHICLE_MODELS, VehicleModel

_BOOL, _INT, _FLOAT, _STRING = (
    AttributeType.BOOL,
    AttributeType.INT,
    AttributeType.FLOAT,
    AttributeType.STRING,
)
#: Paints as "red,green,blue"; each vehicle starts its list with another one.
_PAINTS = (
    "17,37,103",
    "180,44,44",
    "236,236,231",
    "26,26,28",
    "130,134,138",
    "63,92,70",
    "186,140,36",
    "96,29,41",
)
#: Drivers of the two-wheelers.
_DRIVERS = ("1", "2", "3", "4")
#: Number of the last walker of either generation; CARLA 0.9.16 has 0001 to 0052.
_WALKERS_GENERATION_1 = 14
_WALKERS = 52
_AGES = ("adult", "adult", "adult", "adult", "teenager", "adult", "elderly", "adult", "child")
_CHILD_SPEEDS = ("0.0", "1.1", "2.4")
_SPEEDS = ("0.0", "1.4", "2.8")

_Entry = tuple[str, tuple[Attribute, ...]]


def _vehicle(index: int, model: VehicleModel) -> _Entry:
    """Return id and attributes of a vehicle."""
    start = index % len(_PAINTS)
    flags = {
        "has_lights": model.base_type != "bicycle",
        "has_dynamic_doors": model.generation == 2 and model.base_type in ("car", "van"),
    }
    drivers = (variation("driver_id", _INT, *_DRIVERS, restricted=True),)
    return model.type_id, (
        variation("role_name", _STRING, "autopilot", "scenario", "ego_vehicle"),
        variation("color", AttributeType.COLOUR, *_PAINTS[start:], *_PAINTS[:start]),
        *(drivers if model.number_of_wheels == 2 else ()),
        variation("sticky_control", _BOOL, "true"),
        variation("terramechanics", _BOOL, "false"),
        constant("object_type", _STRING, ""),
        constant("base_type", _STRING, model.base_type),
        constant("special_type", _STRING, model.special_type),
        constant("generation", _INT, str(model.generation)),
        constant("number_of_wheels", _INT, str(model.number_of_wheels)),
        *(constant(name, _BOOL, str(flag).lower()) for name, flag in flags.items()),
    )


def _walker(number: int) -> _Entry:
    """Return id and attributes of a pedestrian."""
    age = _AGES[number % len(_AGES)]
    return f"walker.pedestrian.{number:04d}", (
        variation("role_name", _STRING, "pedestrian"),
        variation("is_invincible", _BOOL, "true"),
        variation("speed", _FLOAT, *(_CHILD_SPEEDS if age == "child" else _SPEEDS)),
        variation("use_wheelchair", _BOOL, "false", "true"),
        constant("can_use_wheelchair", _BOOL, "true"),
        constant("gender", _STRING, "female" if number % 2 else "male"),
        constant("age", _STRING, age),
        constant("generation", _INT, "1" if number <= _WALKERS_GENERATION_1 else "2"),
    )


def _prop(prop_id: str) -> _Entry:
    """Return id and attributes of a static prop."""
    return prop_id, (
        variation("role_name", _STRING, "prop"),
        constant("size", _STRING, prop_size_class(prop_id)),
    )


def _others() -> list[_Entry]:
    """Return what belongs to no family."""
    role = variation("role_name", _STRING, "default")
    return [
        (
            "static.prop.mesh",
            (
                variation("role_name", _STRING, "prop"),
                variation("mesh_path", _STRING, ""),
                variation("mass", _FLOAT, "0.0"),
                variation("scale", _FLOAT, "1.0"),
                constant("size", _STRING, "medium"),
            ),
        ),
        (
            "static.trigger.friction",
            (
                role,
                variation("friction", _FLOAT, "3.5"),
                variation("extent_x", _FLOAT, "1.0"),
                variation("extent_y", _FLOAT, "1.0"),
                variation("extent_z", _FLOAT, "1.0"),
            ),
        ),
        ("controller.ai.walker", (role,)),
        ("util.actor.empty", (role,)),
    ]


def _library() -> tuple[Blueprint, ...]:
    """Number all blueprints."""
    entries = [_vehicle(index, model) for index, model in enumerate(VEHICLE_MODELS)]
    entries += [_walker(number) for number in range(1, _WALKERS + 1)]
    entries += list(SENSOR_ATTRIBUTES.items())
    entries += [_prop(prop_id) for prop_id in PROP_IDS]
    entries += _others()
    return tuple(
        Blueprint(uid=uid, id=name, tags=name.replace(".", ","), attributes=attributes)
        for uid, (name, attributes) in enumerate(entries, start=1)
    )


#: All blueprints, in the order of their uids.
BLUEPRINTS: tuple[Blueprint, ...] = _library()
_BY_ID = {blueprint.id: blueprint for blueprint in BLUEPRINTS}


def blueprint_by_id(blueprint_id: str) -> Blueprint:
    """Return a blueprint.

    Raises:
        UserError: There is no such blueprint; the message names the nearest one.
    """
    return look_up("blueprint", blueprint_id, _BY_ID)
