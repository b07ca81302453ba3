"""Every weather preset of CARLA as the camera draws it, and what a picture of it costs.

One street with parked cars and walkers; at night the cars have their headlamps on.
"""

from __future__ import annotations

import time
from pathlib import Path

import carla
import numpy as np
from markupsafe import Markup

from bicameral.page import Page, Section, SideBySide, picture, render_page
from bicameral.tables import table_of
from sim.pocket.camera.lighting import WEATHER_FIELDS, lighting_from_weather
from sim.pocket.camera.rasteriser import Rasteriser
from sim.pocket.camera.view import CameraView, Channels, Instance
from sim.pocket.geometry import Rotation, Transform, Vector3, compose
from sim.pocket.map_store import MapStore
from sim.pocket.scene.build import build_scene
from sim.pocket.scene.figures import LOOKS, WALKER_HALF_HEIGHT_M, walker_mesh
from sim.pocket.scene.textures import make_textures
from sim.pocket.scene.vehicle_models import vehicle_mesh
from sim.pocket.vehicles import vehicle_model
from studies.study import Study

TOWN, PLACE, SEED = "Harbour", 3, 0
LIMIT = 1.3
SIZE_PX, QUICK_SIZE_PX = (400, 250), (96, 60)
ROUNDS, FRAMES = 5, 10
REFERENCE = "ClearNoon"
_FIGURE = Markup("<figure>{}<figcaption>{}</figcaption></figure>")
CARS = (
    ("vehicle.tesla.model3", (0.6, 0.1, 0.1)),
    ("vehicle.ford.mustang", (0.1, 0.2, 0.6)),
    ("vehicle.mini.cooper_s", (0.8, 0.8, 0.78)),
    ("vehicle.nissan.patrol", (0.75, 0.6, 0.1)),
    ("vehicle.volkswagen.t2", (0.2, 0.4, 0.25)),
)


def run(output: Path, quick: bool) -> int:
    """Draw and time every preset; write the page."""
    presets = {
        name: tuple(getattr(value, field) for field in WEATHER_FIELDS)
        for name, value in vars(carla.WeatherParameters).items()
        if isinstance(value, carla.WeatherParameters) and name != "Default"
    }
    width, height = QUICK_SIZE_PX if quick else SIZE_PX
    town = MapStore().load(TOWN)
    rasteriser = Rasteriser(build_scene(town.opendrive, town.carla_map, SEED), make_textures(SEED))
    start = town.spawn_points[PLACE]
    frames = 1 if quick else FRAMES
    views = [
        CameraView(
            width=width,
            height=height,
            fov_deg=90.0,
            transform=compose(place, Transform(Vector3(1.5, 0.0, 2.4))),
        )
        for place in (start, *town.spawn_points[10 : 10 + frames])
    ]
    spent: dict[str, list[float]] = {name: [] for name in presets}
    shown: dict[str, Markup] = {}
    for _ in range(1 if quick else ROUNDS):
        for name, weather in presets.items():
            lighting = lighting_from_weather(weather)
            rasteriser.set_lighting(lighting)
            things = _things(rasteriser, start, headlamps=lighting.lamps_on)
            frame = rasteriser.render(views[0], things, noise_seed=SEED, want=Channels.RGB)
            shown[name] = picture(frame.bgra[..., 2::-1].copy(), name)
            begin_s = time.thread_time()
            for view in views[1:]:
                rasteriser.render(view, things, want=Channels.RGB)
            spent[name].append((time.thread_time() - begin_s) / frames * 1e3)
    costs = {name: float(np.median(rounds)) for name, rounds in spent.items()}
    ratios = {name: cost / costs[REFERENCE] for name, cost in costs.items()}
    rows = [(name, f"{costs[name]:.2f}", f"{ratio:.2f}") for name, ratio in ratios.items()]
    table = table_of("", ("weather", "CPU ms a picture", f"times {REFERENCE}"), rows)
    page = Page(
        title="CARLA's weathers in the pocket simulator",
        lead=f"{len(presets)} presets on {TOWN}, {width} x {height} pixels.",
        sentences=[f"The dearest weather costs {max(ratios.values()):.2f} times {REFERENCE}."],
        sections=[
            Section(
                title="Weathers",
                blocks=[SideBySide(blocks=[_FIGURE.format(shown[name], name) for name in presets])],
            ),
            Section(title="Cost", blocks=[table]),
        ],
        css="figure img { width: 100%; }",
    )
    (output / "gallery.html").write_text(render_page(page), "utf-8")
    print(page.sentences[0], output / "gallery.html")
    return 0 if quick or max(ratios.values()) <= LIMIT else 1


def _things(rasteriser: Rasteriser, start: Transform, *, headlamps: bool) -> list[Instance]:
    """Put cars and walkers before the camera."""
    things = []
    for number, (name, paint) in enumerate(CARS):
        rasteriser.register_mesh(name, vehicle_mesh(name, vehicle_model(name).half_extent))
        oncoming = number % 2
        place = Vector3(9.0 + 8.0 * (number // 2), 0.2 - 3.6 * oncoming, -0.3)
        things.append(
            Instance(
                mesh_key=name,
                transform=compose(start, Transform(place, Rotation(0.0, 180.0 * oncoming, 0.0))),
                paint=paint,
                headlamps=headlamps,
            )
        )
    for look in range(LOOKS):
        rasteriser.register_mesh(f"walker.{look}", walker_mesh(3 * look, look))
        place = Vector3(8.0 + 2.0 * look, 2.6, WALKER_HALF_HEIGHT_M)
        at = compose(start, Transform(place, Rotation(0.0, 90.0, 0.0)))
        things.append(Instance(mesh_key=f"walker.{look}", transform=at))
    return things


STUDY = Study(
    claim=f"Night and rain cost at most {LIMIT} times a clear noon.",
    setting="any x86-64 machine, one thread; 5 rounds in turns of 10 pictures; 30 CPU seconds",
    run=run,
)
