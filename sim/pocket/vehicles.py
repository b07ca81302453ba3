"""The parameter table of every vehicle: its box and its physics.

Where the numbers come from:

* *Published defaults of CARLA 0.9.16 / Unreal Engine 4* (``WheeledVehicleMovementComponent4W``):
  gear ratios and shift points of the petrol cars, final ratio 4.0, torque curve with its peak at
  1,890 rpm, engine moment of inertia 1 kg m2, damping at full throttle, clutch strength, brake
  torques 1,500/3,000 N m, tyre friction 3.5, tyre stiffness 17 per radian, wheel damping 0.25, the
  steering curve (0, 1) (20, 0.9) (60, 0.8) (120, 0.7) and 70 degrees of steering for four wheels.
* *What CARLA 0.9.16 reports*: the boxes, to a millimetre or two.
* *Estimates*: masses (rounded values of the real vehicles), wheelbases, the one-speed
  transmission and torque curve of the electric cars (set so that the Model 3 needs 6 to 7 s from 0
  to 100 km/h), the engine braking (CARLA's 2 kg m2/s stops a car like a brake), the yaw inertia,
  everything about trucks, buses and two-wheelers but the steering angle of the former.

`PhysicsControl` holds exactly the fields of the wire's ``VehiclePhysicsControl``, in its order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from bicameral.errors import look_up
from sim.pocket.geometry import Vector3

_ORIGIN = Vector3()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gear:
    """One forward gear of the wire's ``GearPhysicsControl``.

    Attributes:
        ratio: Engine turns per turn of the shaft behind the gearbox.
        down_ratio: Share of the maximum rpm below which the gearbox shifts down, 0..1.
        up_ratio: Share of the maximum rpm above which the gearbox shifts up, 0..1.
    """

    ratio: float = 1.0
    down_ratio: float = 0.5
    up_ratio: float = 0.65


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelPhysics:
    """One wheel, the fields of the wire's ``WheelPhysicsControl``.

    Attributes:
        tire_friction: Friction scale of the tyre; 3.5 is a dry road (see `dynamics`).
        damping_rate: Damping of the wheel, kg m2 / s.
        max_steer_angle: Degrees; 0 for wheels that do not steer.
        radius: Centimetres, as on the wire.
        max_brake_torque: N m at full brake.
        max_handbrake_torque: N m with the hand brake on.
        lat_stiff_max_load: Multiple of the rest load beyond which the stiffness stays constant.
        lat_stiff_value: Lateral stiffness per unit of load, 1/rad.
        long_stiff_value: Longitudinal stiffness per unit of gravity, as PhysX defines it.
        position: Centimetres; world frame on the wire, vehicle frame in the table below.
    """

    tire_friction: float = 3.5
    damping_rate: float = 0.25
    max_steer_angle: float = 0.0
    radius: float = 30.0
    max_brake_torque: float = 1500.0
    max_handbrake_torque: float = 0.0
    lat_stiff_max_load: float = 2.0
    lat_stiff_value: float = 17.0
    long_stiff_value: float = 1000.0
    position: Vector3 = _ORIGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicsControl:
    """The fields of the wire's ``VehiclePhysicsControl``, in its order.

    Attributes:
        torque_curve: (engine rpm, torque in N m), rpm ascending.
        max_rpm: Engine speed beyond which there is no torque.
        moi: Moment of inertia of the engine, kg m2.
        damping_rate_full_throttle: Engine damping, kg m2 / s.
        damping_rate_zero_throttle_clutch_engaged: Engine braking, kg m2 / s.
        damping_rate_zero_throttle_clutch_disengaged: Engine damping in neutral, kg m2 / s.
        use_gear_autobox: Whether the gears shift themselves.
        gear_switch_time: Seconds without torque while a gear is changed.
        clutch_strength: kg m2 / s; with the engine damping it limits the engine braking.
        final_ratio: Ratio of the differential.
        forward_gears: First gear first.
        mass: Kilograms.
        drag_coefficient: Dimensionless, on the frontal area of the box.
        center_of_mass: Metres from the middle between the axles, vehicle frame.
        steering_curve: (speed in km/h, share of the maximum steering angle), speed ascending.
        wheels: Front left, front right, rear left, rear right.
        use_sweep_wheel_collision: Kept, not used.
    """

    torque_curve: tuple[tuple[float, float], ...]
    max_rpm: float
    moi: float = 1.0
    damping_rate_full_throttle: float = 0.15
    damping_rate_zero_throttle_clutch_engaged: float = 2.0
    damping_rate_zero_throttle_clutch_disengaged: float = 0.35
    use_gear_autobox: bool = True
    gear_switch_time: float = 0.5
    clutch_strength: float = 10.0
    final_ratio: float = 4.0
    forward_gears: tuple[Gear, ...]
    mass: float
    drag_coefficient: float = 0.3
    center_of_mass: Vector3 = _ORIGIN
    steering_curve: tuple[tuple[float, float], ...]
    wheels: tuple[WheelPhysics, ...]
    use_sweep_wheel_collision: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleModel:
    """What a vehicle of one type is.

    The vehicle's origin lies on the ground below the middle of its box.

    Attributes:
        type_id: Id of its blueprint, e.g. ``"vehicle.tesla.model3"``.
        base_type: ``car``, ``truck``, ``van``, ``bus``, ``motorcycle`` or ``bicycle``.
        generation: 1 or 2, CARLA's generation of the model.
        special_type: ``""``, ``"emergency"``, ``"taxi"`` or ``"electric"``.
        number_of_wheels: 4 or 2.
        half_extent: Half of the bounding box that clients read, metres; it contains the mirrors.
        body_half_extent: Half of what collides and is seen, metres: the box, but no wider than a
            vehicle may be without its mirrors.
        centre: Centre of the bounding box in the vehicle frame, metres.
        wheelbase_m: Distance of the axles, which lie symmetric to the origin.
        yaw_inertia_kg_m2: Moment of inertia about the vertical axis.
        frontal_area_m2: Area for the air drag.
        physics: What the client may read and change.
    """

    type_id: str
    base_type: str
    generation: int
    special_type: str
    number_of_wheels: int
    half_extent: Vector3
    body_half_extent: Vector3
    centre: Vector3
    wheelbase_m: float
    yaw_inertia_kg_m2: float
    frontal_area_m2: float
    physics: PhysicsControl


class _Row(NamedTuple):
    """One line of the table: half extents and wheelbase in metres, mass in kilograms."""

    name: str
    half_x_m: float
    half_y_m: float
    half_z_m: float
    wheelbase_m: float
    mass_kg: float
    drive: str = "petrol"
    generation: int = 1
    special_type: str = ""
    base_type: str = ""  # the family's, unless this says another


_TABLE = (
    _Row("audi.a2", 1.853, 0.895, 0.774, 2.41, 1030.0),
    _Row("audi.etron", 2.428, 1.016, 0.825, 2.93, 2490.0, "electric", 1, "electric"),
    _Row("audi.tt", 2.091, 0.997, 0.693, 2.47, 1410.0, "sport"),
    _Row("bmw.grandtourer", 2.306, 1.121, 0.834, 2.78, 1600.0),
    _Row("carlamotors.carlacola", 2.602, 1.313, 1.234, 3.00, 5500.0, "truck"),
    _Row("carlamotors.european_hgv", 3.968, 1.446, 1.731, 5.00, 14000.0, "truck", 2),
    _Row("carlamotors.firetruck", 4.234, 1.446, 1.914, 4.60, 14000.0, "truck", 2, "emergency"),
    _Row("chevrolet.impala", 2.679, 1.017, 0.705, 2.84, 1650.0),
    _Row("citroen.c3", 1.994, 0.925, 0.808, 2.54, 1150.0),
    _Row("dodge.charger_2020", 2.504, 0.941, 0.767, 3.05, 1850.0, "sport", 2),
    _Row("dodge.charger_police", 2.487, 1.019, 0.771, 3.05, 1920.0, "sport", 1, "emergency"),
    _Row("dodge.charger_police_2020", 2.619, 0.965, 0.819, 3.05, 1920.0, "sport", 2, "emergency"),
    _Row("ford.ambulance", 3.183, 1.176, 1.216, 3.50, 3800.0, "van", 2, "emergency"),
    _Row("ford.crown", 2.683, 0.900, 0.784, 2.91, 1880.0, generation=2, special_type="taxi"),
    _Row("ford.mustang", 2.359, 0.947, 0.650, 2.72, 1650.0, "sport"),
    _Row("jeep.wrangler_rubicon", 1.933, 0.953, 0.939, 2.42, 1850.0),
    _Row("lincoln.mkz_2017", 2.451, 1.064, 0.755, 2.85, 1800.0),
    _Row("lincoln.mkz_2020", 2.446, 0.918, 0.745, 2.85, 1800.0, generation=2),
    _Row("mercedes.coupe", 2.513, 1.076, 0.825, 2.87, 1750.0),
    _Row("mercedes.coupe_2020", 2.337, 0.906, 0.721, 2.87, 1750.0, generation=2),
    _Row("mercedes.sprinter", 2.957, 0.994, 1.280, 3.67, 2500.0, "van", 2),
    _Row("micro.microlino", 1.104, 0.740, 0.688, 1.57, 513.0, "city", 1, "electric"),
    _Row("mini.cooper_s", 1.903, 0.985, 0.738, 2.49, 1250.0),
    _Row("mini.cooper_s_2021", 2.276, 1.049, 0.884, 2.67, 1400.0, generation=2),
    _Row("mitsubishi.fusorosa", 5.136, 1.972, 2.126, 4.55, 6500.0, "truck", 2, "", "bus"),
    _Row("nissan.micra", 1.817, 0.923, 0.751, 2.45, 1020.0),
    _Row("nissan.patrol", 2.302, 0.966, 0.928, 2.85, 2400.0),
    _Row("nissan.patrol_2021", 2.783, 1.075, 1.022, 3.08, 2750.0, generation=2),
    _Row("seat.leon", 2.096, 0.908, 0.737, 2.64, 1320.0),
    _Row("tesla.cybertruck", 3.137, 1.195, 1.049, 3.81, 3000.0, "electric", 1, "electric", "truck"),
    _Row("tesla.model3", 2.396, 1.082, 0.744, 2.875, 1845.0, "electric", 2, "electric"),
    _Row("toyota.prius", 2.257, 1.003, 0.762, 2.70, 1400.0),
    _Row("volkswagen.t2", 2.240, 1.035, 1.019, 2.40, 1350.0, "van"),
    _Row("volkswagen.t2_2021", 2.221, 0.889, 0.994, 2.40, 1350.0, "van", 2),
    _Row("bh.crossbike", 0.755, 0.433, 0.806, 1.05, 90.0, "bicycle"),
    _Row("diamondback.century", 0.828, 0.291, 0.810, 1.00, 88.0, "bicycle"),
    _Row("gazelle.omafiets", 0.922, 0.330, 0.888, 1.12, 95.0, "bicycle"),
    _Row("harley-davidson.low_rider", 1.175, 0.383, 0.825, 1.63, 380.0, "motorcycle"),
    _Row("kawasaki.ninja", 1.022, 0.398, 0.762, 1.41, 260.0, "motorcycle"),
    _Row("vespa.zx125", 0.909, 0.433, 0.795, 1.29, 190.0, "motorcycle"),
    _Row("yamaha.yzf", 1.095, 0.433, 0.765, 1.40, 270.0, "motorcycle"),
)

#: No vehicle's body is wider on European roads; mirrors come on top (Directive 96/53/EC). CARLA's
#: box of the Fusorosa is 3.93 m wide, wider than most lanes.
_WIDEST_BODY_M = 2.55
_STEERING_CURVE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))
_PETROL_GEARS = tuple(Gear(ratio=ratio) for ratio in (4.25, 2.52, 1.66, 1.22, 1.0))
_TRUCK_GEARS = tuple(Gear(ratio=ratio) for ratio in (6.0, 3.9, 2.5, 1.7, 1.25, 1.0))


class _Drive(NamedTuple):
    """Engine, transmission, brakes and tyres of one family of vehicles."""

    torque_curve: tuple[tuple[float, float], ...]
    max_rpm: float
    gears: tuple[Gear, ...]
    final_ratio: float
    wheel_radius_cm: float
    max_steer_angle_deg: float
    brake_torque_n_m: float
    drag_coefficient: float
    base_type: str = "car"
    moi_kg_m2: float = 1.0
    engine_braking: float = 0.5
    full_throttle_damping: float = 0.15
    gear_switch_time_s: float = 0.5


_ELECTRIC_CURVE = ((0.0, 470.0), (5500.0, 470.0), (9000.0, 360.0), (15000.0, 280.0))
_PETROL_CURVE = ((0.0, 400.0), (1890.76, 500.0), (5729.58, 400.0))
_DRIVES = {
    "electric": _Drive(
        _ELECTRIC_CURVE,
        15000.0,
        (Gear(),),
        9.0,
        35.5,
        70.0,
        1500.0,
        0.23,
        engine_braking=0.25,
        full_throttle_damping=0.05,
        gear_switch_time_s=0.0,
    ),
    "city": _Drive(
        ((0.0, 90.0), (3000.0, 90.0), (9000.0, 30.0)),
        9000.0,
        (Gear(),),
        8.0,
        27.0,
        70.0,
        500.0,
        0.35,
        moi_kg_m2=0.1,
        engine_braking=0.1,
        full_throttle_damping=0.02,
        gear_switch_time_s=0.0,
    ),
    "petrol": _Drive(_PETROL_CURVE, 5729.58, _PETROL_GEARS, 4.0, 33.0, 70.0, 1500.0, 0.3),
    "sport": _Drive(
        ((0.0, 500.0), (1890.76, 600.0), (6500.0, 480.0)),
        6500.0,
        _PETROL_GEARS,
        3.6,
        35.0,
        70.0,
        1800.0,
        0.3,
        gear_switch_time_s=0.3,
    ),
    "van": _Drive(_PETROL_CURVE, 5000.0, _PETROL_GEARS, 4.2, 35.0, 70.0, 2500.0, 0.4, "van"),
    "truck": _Drive(
        ((0.0, 1400.0), (1200.0, 2000.0), (2600.0, 1500.0)),
        2600.0,
        _TRUCK_GEARS,
        3.7,
        50.0,
        70.0,
        11000.0,
        0.7,
        "truck",
        moi_kg_m2=3.0,
        engine_braking=6.0,
        gear_switch_time_s=0.6,
    ),
    "motorcycle": _Drive(
        ((0.0, 50.0), (6000.0, 90.0), (11000.0, 70.0)),
        11000.0,
        _PETROL_GEARS,
        3.0,
        31.0,
        40.0,
        500.0,
        0.6,
        "motorcycle",
        moi_kg_m2=0.02,
        engine_braking=0.03,
        full_throttle_damping=0.01,
        gear_switch_time_s=0.2,
    ),
    "bicycle": _Drive(
        ((0.0, 45.0), (120.0, 30.0), (200.0, 5.0)),
        200.0,
        (Gear(),),
        1.0,
        34.0,
        40.0,
        140.0,
        1.0,
        "bicycle",
        moi_kg_m2=0.01,
        engine_braking=0.0,
        full_throttle_damping=0.0,
        gear_switch_time_s=0.0,
    ),
}


def _wheels(row: _Row, drive: _Drive) -> tuple[WheelPhysics, ...]:
    """Return the wheels, front left first; two-wheelers have four as well, like CARLA's."""
    half_track_cm = 100.0 * 0.8 * row.half_y_m
    half_base_cm = 50.0 * row.wheelbase_m
    front = WheelPhysics(
        radius=drive.wheel_radius_cm,
        max_steer_angle=drive.max_steer_angle_deg,
        max_brake_torque=drive.brake_torque_n_m,
    )
    rear = replace(front, max_steer_angle=0.0, max_handbrake_torque=2.0 * drive.brake_torque_n_m)
    return tuple(
        replace(wheel, position=Vector3(x, y, drive.wheel_radius_cm))
        for wheel, x in ((front, half_base_cm), (rear, -half_base_cm))
        for y in (-half_track_cm, half_track_cm)
    )


def _model(row: _Row) -> VehicleModel:
    """Build a vehicle from its line of the table and the family of its drive."""
    drive = _DRIVES[row.drive]
    physics = PhysicsControl(
        torque_curve=drive.torque_curve,
        max_rpm=drive.max_rpm,
        moi=drive.moi_kg_m2,
        damping_rate_full_throttle=drive.full_throttle_damping,
        damping_rate_zero_throttle_clutch_engaged=drive.engine_braking,
        gear_switch_time=drive.gear_switch_time_s,
        final_ratio=drive.final_ratio,
        forward_gears=drive.gears,
        mass=row.mass_kg,
        drag_coefficient=drive.drag_coefficient,
        steering_curve=_STEERING_CURVE,
        wheels=_wheels(row, drive),
    )
    length_m, width_m = 2.0 * row.half_x_m, 2.0 * row.half_y_m
    return VehicleModel(
        type_id=f"vehicle.{row.name}",
        base_type=row.base_type or drive.base_type,
        generation=row.generation,
        special_type=row.special_type,
        number_of_wheels=2 if drive.base_type in ("motorcycle", "bicycle") else 4,
        half_extent=Vector3(row.half_x_m, row.half_y_m, row.half_z_m),
        body_half_extent=Vector3(
            row.half_x_m, min(row.half_y_m, 0.5 * _WIDEST_BODY_M), row.half_z_m
        ),
        centre=Vector3(0.0, 0.0, row.half_z_m),
        wheelbase_m=row.wheelbase_m,
        # A homogeneous box, less 30 %: the ends of a car are lighter than its middle.
        yaw_inertia_kg_m2=0.7 * row.mass_kg * (length_m**2 + width_m**2) / 12.0,
        frontal_area_m2=0.75 * width_m * 2.0 * row.half_z_m,
        physics=physics,
    )


#: Every vehicle, in the order of the blueprint library.
VEHICLE_MODELS: tuple[VehicleModel, ...] = tuple(_model(row) for row in _TABLE)
_BY_TYPE_ID = {model.type_id: model for model in VEHICLE_MODELS}


def vehicle_model(type_id: str) -> VehicleModel:
    """Return the parameters of a vehicle type.

    Raises:
        UserError: There is no such vehicle; the message lists the known ones.
    """
    return look_up("vehicle", type_id, _BY_TYPE_ID)
