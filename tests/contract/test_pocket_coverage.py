"""Every method acts, answers, is refused, or is listed as without effect; every sensor delivers.

A method is called in a small world of its own, without sockets; a second world of the same seed
goes without the call. If one byte of what clients see afterwards differs (snapshots, pictures,
measurements, answers of other methods), the call had an effect. Methods that only answer are judged
by their answer. `sim.pocket.methods.limits` says which may have none; anything else is wrong.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sim.pocket.map_store import MapStore
from sim.pocket.methods import METHODS
from sim.pocket.methods.dispatch import Dispatcher
from sim.pocket.methods.limits import REFUSED, WITHOUT_EFFECT
from sim.pocket.navigation.files import NavigationFiles
from sim.pocket.protocol.framing import Request
from sim.pocket.protocol.values import to_wire
from sim.pocket.sensors.offer import OFFER, Delivered, Refused
from sim.pocket.world import tick
from sim.pocket.world.town import TownShelf
from sim.pocket.world.world import World
from tests.awaited_meshes import build_mesh
from tests.contract.pocket_calls import ARGUMENTS, AROUND, Call, filled

#: Methods that are tried beside those that are listed: a quarter of them, to keep the test short.
_TRIED = [name for name in METHODS if not {name} & {*WITHOUT_EFFECT, *REFUSED}][::4]
#: Long steps, so that lights change while something is watched.
_STEP_S, _TICKS = 1.0, 13
#: What the text about a recording says of wall time.
_WALL_TIME = re.compile(r"Date: [\d :-]+|Current platform time: [\d.e-]+")


#: A straight road.
_SMALL_MAP = (
    '<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="t"/>'
    '<road name="" id="1" junction="-1" length="200"><planView>'
    '<geometry s="0" x="0" y="0" hdg="0" length="200"><line/></geometry></planView><lanes>'
    '<laneSection s="0"><center><lane id="0" type="none"/></center><right>'
    '<lane id="-1" type="driving"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane>'
    "</right></laneSection></lanes></road></OpenDRIVE>"
)


class Listener:
    """Takes what the world sends, as a publisher that every stream has a reader of."""

    def __init__(self) -> None:
        self.messages: dict[int, int] = {}
        self.digest = hashlib.sha256()

    def token(self, stream_id: int) -> bytes:
        """Return a token."""
        return stream_id.to_bytes(24, "little")

    def has_subscribers(self, stream_id: int) -> bool:
        """Return True."""
        return stream_id > 0

    def publish(self, stream_id: int, parts: Sequence[bytes]) -> None:
        """Count a message, and remember its content unless wall time is in it."""
        self.messages[stream_id] = self.messages.get(stream_id, 0) + 1
        if stream_id != 1:
            self.digest.update(b"".join(map(bytes, parts)))


class Stage:
    """A town with a car that carries sensors, more cars, a walker and cameras.

    Args:
        shelf: The towns.
        navigation: Where walkers may go.
        record: Where a recording goes.
    """

    def __init__(self, shelf: TownShelf, navigation: NavigationFiles, record: Path) -> None:
        self.listener = Listener()
        self.world = World(shelf, self.listener, town="Harbour", seed=0)
        self.world.navigation = navigation
        self.dispatcher = Dispatcher(self.world, METHODS)
        self.record = str(record)
        self.refusal = ""
        settings = self.world.settings._replace(synchronous_mode=True, fixed_delta_s=_STEP_S)
        self.world.settings = settings
        points = self.world.episode.town.map.spawn_points
        self.pose = to_wire(points[9])
        self.car = self._spawn("vehicle.tesla.model3", to_wire(points[0]))
        self.other = self._spawn("vehicle.audi.tt", self.pose)
        self.walker = self._spawn("walker.pedestrian.0001", to_wire(points[20]))
        mount = [[0.5, 0.0, 2.2], [0.0, 0.0, 0.0]]
        small = {"image_size_x": "32", "image_size_y": "32"}
        self.camera = self._spawn("sensor.camera.rgb", mount, small)
        above = [[points[9].location.x, points[9].location.y, 40.0], [-90.0, 0.0, 0.0]]
        self._spawn("sensor.camera.semantic_segmentation", above, small, parent=0)
        self._spawn("sensor.other.imu", mount)
        look = {"points_per_second": "2000", "lower_fov": "-90"}
        self.lidar = self._spawn("sensor.lidar.ray_cast", [[0.0, 0.0, 4.0], [0.0] * 3], look)
        episode = self.world.episode
        self.light = next(iter(episode.light_actor_ids.values()))
        self.spectator = episode.spectator.id
        hero = [["role_name", 4, "hero"]]
        answer = self.call("spawn_actor", [[0, "vehicle.mini.cooper_s", hero], to_wire(points[30])])
        self.hero = int(answer[0][1][0])
        high = to_wire(points[40]._replace(location=points[40].location._replace(z=60.0)))
        self.falling = self._spawn("vehicle.tesla.model3", high)
        self.car_pose, self.free_pose = to_wire(points[0]), to_wire(points[50])
        self.x, self.y = points[0].location.x, points[0].location.y + 1.0
        self.objects = list(range(1, 1000))
        mesh = navigation.of_map(episode.town.map.opendrive)
        self.navigation_file = "" if mesh is None else mesh.name
        self.opendrive = _SMALL_MAP
        physics = self.call("get_physics_control", [self.car])[0][1]
        self.heavy_physics = to_wire([*physics[:11], 3000.0, *physics[12:]])
        self.call("apply_control_to_vehicle", [self.car, [0.3, 0.0, 0.0, False, False, False, 0]])

    def _spawn(
        self, type_id: str, pose: Any, attributes: dict[str, str] | None = None, parent: int = -1
    ) -> int:
        sent = [[name, 4, value] for name, value in (attributes or {}).items()]
        description = [0, type_id, sent]
        if type_id.startswith("sensor.") and parent:
            answer = self.call("spawn_actor_with_parent", [description, pose, self.car, 0, ""])
        else:
            answer = self.call("spawn_actor", [description, pose])
        return int(answer[0][1][0]) if answer and answer[0][0] == 1 else 0

    def call(self, method: str, arguments: list[Any]) -> Any:
        """Call a method; `refusal` is the reason if it was refused."""
        error, result = self.dispatcher.answer(self, Request(0, method, arguments))
        self.refusal = error or ""
        head = result[0] if isinstance(result, list) and result else None
        if isinstance(head, list) and len(head) == 2 and (head[0] is True or head[0] == 0):
            self.refusal = str(head[1][0])
        return result

    def watch(self, after: Sequence[Call]) -> bytes:
        """Let time pass, ask, and return a digest of all that could be seen."""
        for method, arguments in after:
            self.call(method, arguments)
        seen = self.listener.digest
        for _ in range(_TICKS):
            tick.advance(self.world)
            for actor in self.world.episode.actors:
                seen.update(actor.record())
        for method, arguments in self._questions():
            answer = repr(to_wire(self.call(method, arguments))).replace(self.record, "")
            seen.update(_WALL_TIME.sub("", answer).encode())
        self.close()
        return seen.digest()

    def close(self) -> None:
        """End what it may still record."""
        self.call("stop_recorder", [])

    def _questions(self) -> list[Call]:
        return [
            *((name, []) for name in ("get_weather_parameters", "get_episode_settings")),
            *((name, []) for name in ("get_map_info", "get_imui_gravity")),
            ("get_episode_info", []),
            ("get_vehicle_light_states", []),
            ("get_physics_control", [self.car]),
            ("get_ackermann_controller_settings", [self.car]),
            ("get_wheel_steer_angle", [self.car, 0]),
            ("get_wheel_pitch_angle", [self.car, 0]),
            ("get_bones_transform", [self.walker]),
            ("is_traffic_manager_running", [8000]),
            ("cast_ray", [[self.pose[0][0], self.pose[0][1], 90.0], [*self.pose[0][:2], -9.0]]),
            ("get_all_level_BBs", [14]),
            ("show_recorder_file_info", [self.record, True]),
        ]


class Theatre:
    """Makes stages, and knows what is seen when nothing is called.

    Args:
        shelf: The towns.
        navigation: Where walkers may go.
        folder: Where recordings go.
    """

    def __init__(self, shelf: TownShelf, navigation: NavigationFiles, folder: Path) -> None:
        self._shelf = shelf
        self._navigation = navigation
        self._folder = folder
        self._stages = 0

    def stage(self) -> Stage:
        """Return a new stage, equal to all others."""
        self._stages += 1
        return Stage(self._shelf, self._navigation, self._folder / f"{self._stages}.log")

    @functools.cached_property
    def untouched(self) -> bytes:
        """What is seen when nothing is called."""
        return self.stage().watch(())


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    shelf = TownShelf(MapStore(), seed=0)
    navigation = NavigationFiles()
    town = shelf.town("Harbour").map
    build_mesh(navigation, town.name, town.opendrive)
    return Theatre(shelf, navigation, tmp_path_factory.mktemp("recordings"))


def test_methods_that_are_listed_as_refused_are_refused(theatre: Theatre) -> None:
    stage = theatre.stage()
    for name in REFUSED:
        _called(stage, name)
        assert stage.refusal, name


@pytest.mark.parametrize("first", [0, 1])
def test_methods_that_are_listed_as_without_effect_change_nothing(
    theatre: Theatre, first: int
) -> None:
    """Half of them at a time, so that none of two neighbours undoes what the other one does."""
    names = list(WITHOUT_EFFECT)[first::2]
    stage = theatre.stage()
    for name in names:
        _called(stage, name)
        assert not stage.refusal, name
    if stage.watch(()) != theatre.untouched:
        acting = [name for name in names if _acts(theatre, name)]
        pytest.fail(f"{acting or names} had an effect")


@pytest.mark.parametrize("name", _TRIED)
def test_every_other_method_answers_or_acts(theatre: Theatre, name: str) -> None:
    stage = theatre.stage()
    answer, after = _called(stage, name)
    assert not stage.refusal
    value = answer[0][1] if isinstance(answer, list) and answer[0][:1] == [1] else None
    answers = bool(value) or (isinstance(value, float) and value == 0.0)  # a wheel may stand still
    assert answers or stage.watch(after) != _without(theatre, name)


@pytest.mark.parametrize(("type_id", "offer"), OFFER.items())
def test_a_sensor_of_a_car_that_runs_into_something_delivers_or_is_refused(
    theatre: Theatre, type_id: str, offer: Delivered | Refused
) -> None:
    stage = theatre.stage()
    size = [["image_size_x", 2, "32"], ["image_size_y", 2, "32"]]
    attributes = size if type_id.startswith("sensor.camera.") else []
    mount = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    answer = stage.call(
        "spawn_actor_with_parent", [[0, type_id, attributes], mount, stage.car, 0, ""]
    )
    if isinstance(offer, Refused):
        assert offer.instead in stage.refusal
        return
    wall = stage.world.episode.town.map.spawn_points[0]
    x, y, yaw = wall.location.x, wall.location.y, wall.rotation.yaw
    stage.call("spawn_actor", [[0, "static.prop.container", []], _ahead(x, y, yaw, 6.0)])
    stage.call("enable_actor_constant_velocity", [stage.car, [5.0, 0.0, 0.0]])
    for _ in range(_TICKS):
        tick.advance(stage.world)
    token = bytes(answer[0][1][5])
    assert bool(token) == offer.has_stream
    assert not token or stage.listener.messages[int.from_bytes(token, "little")]


def _acts(theatre: Theatre, name: str) -> bool:
    stage = theatre.stage()
    _called(stage, name)
    return stage.watch(()) != theatre.untouched


def _called(stage: Stage, name: str) -> tuple[Any, list[Call]]:
    """Call a method after what must come before it; return the answer and what comes after it."""
    before, arguments, after = _script(name, stage)
    for method, values in before:
        stage.call(method, values)
    return stage.call(name, arguments), after


def _without(theatre: Theatre, name: str) -> bytes:
    """Return what is seen without a method, but with what is called before and after it."""
    if name not in AROUND:
        return theatre.untouched
    twin = theatre.stage()
    before, _arguments, after = _script(name, twin)
    for method, values in before:
        twin.call(method, values)
    return twin.watch(after)


def _script(name: str, stage: Stage) -> tuple[list[Call], list[Any], list[Call]]:
    """Return what is called before a method, its arguments, and what is called after it."""

    def named(thing: str) -> Any:
        return getattr(stage, thing)

    before, after = AROUND.get(name, ((), ()))
    return (
        [(method, filled(values, named)) for method, values in before],
        filled(ARGUMENTS.get(name, []), named),
        [(method, filled(values, named)) for method, values in after],
    )


def _ahead(x: float, y: float, yaw_deg: float, distance_m: float) -> list[list[float]]:
    yaw = math.radians(yaw_deg)
    place = [x + distance_m * math.cos(yaw), y + distance_m * math.sin(yaw), 0.0]
    return [place, [0.0, yaw_deg, 0.0]]
