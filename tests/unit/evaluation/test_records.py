"""Episodes and routes come back from disk as they went."""

import json
from dataclasses import fields

import numpy as np
import pytest

from bicameral.errors import DataError
from sim.client.ego import LaneInvasion
from sim.evaluation.records import (
    COLUMNS,
    CollisionRecord,
    read_episode,
    read_route,
    write_episode,
    write_route,
)


@pytest.fixture
def episode(record, drive):
    trajectory = drive(diagnostics={"cascade": np.full(400, np.nan, np.float32)})
    return record(
        trajectory,
        collisions=(CollisionRecord(frame=1, last_frame=2, other="static.wall", impulse_ns=3.5),),
        lane_invasions=(LaneInvasion(frame=4, markings=("Solid", "Broken")),),
        branches=("none", "paper_4_jitter"),
        trained_on="pocket",
        driven_on="carla",
        weather_parameters={"fog_density": 2.0},
    )


def test_an_episode_comes_back_equal(tmp_path, episode):
    write_episode(tmp_path / "e", episode)
    back = read_episode(tmp_path / "e")
    assert back.model_copy(update={"trajectory": episode.trajectory}) == episode
    stored = back.trajectory.columns()
    assert list(stored) == [*COLUMNS, "cascade"]
    for name, column in episode.trajectory.columns().items():
        assert stored[name].dtype == column.dtype
        np.testing.assert_array_equal(stored[name], column)


def test_the_others_come_back_equal(tmp_path, record, drive):
    others = np.random.default_rng(0).normal(size=(400, 3, 3)).astype(np.float32)
    others[200:, 1] = np.nan  # it left
    lights = np.full((400, 2), 1, np.uint8)
    around = {"others": others, "lights": lights, "light_lines_m": (20.0, 90.0)}
    write_episode(tmp_path / "e", record(drive(), vehicles=2, walkers=1, **around))
    back = read_episode(tmp_path / "e")
    np.testing.assert_array_equal(back.others, others)
    np.testing.assert_array_equal(back.lights, lights)
    assert back.light_lines_m == (20.0, 90.0)
    assert (back.vehicles, back.walkers, back.in_traffic) == (2, 1, True)


def test_a_column_has_its_declared_type_whatever_it_was_given_as(drive):
    trajectory = drive(steer=[0.25] * 400, branch=[1.0] * 400)
    assert trajectory.steer.dtype == np.float32
    assert trajectory.branch.dtype == np.uint8
    assert trajectory.frame.dtype == np.int64


def test_driving_on_another_simulator_than_trained_on_is_recorded(tmp_path, episode):
    write_episode(tmp_path / "e", episode)
    assert json.loads((tmp_path / "e" / "episode.json").read_text())["domain_mismatch"] is True


def test_writing_leaves_nothing_but_the_episode(tmp_path, episode):
    write_episode(tmp_path / "e", episode)
    write_episode(tmp_path / "e", episode)
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_failed_write_leaves_no_trace(tmp_path, episode):
    broken = episode.model_copy(update={"weather_parameters": {"x": object()}})
    with pytest.raises(ValueError, match="serialize"):
        write_episode(tmp_path / "e", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["delete", "truncate", "extra", "schema"])
def test_a_damaged_episode_is_refused_by_name(tmp_path, episode, damage):
    folder = tmp_path / "e"
    write_episode(folder, episode)
    if damage == "delete":
        (folder / "trajectory.npz").unlink()
    elif damage == "truncate":
        (folder / "trajectory.npz").write_bytes(b"PK")
    else:
        content = json.loads((folder / "episode.json").read_text())
        content["surplus" if damage == "extra" else "schema_version"] = 99
        (folder / "episode.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=str(folder)):
        read_episode(folder)


def test_a_route_comes_back_equal(tmp_path, straight_route):
    write_route(tmp_path / "r.npz", straight_route)
    back = read_route(tmp_path / "r.npz")
    for entry in fields(straight_route):
        np.testing.assert_array_equal(
            getattr(back, entry.name), getattr(straight_route, entry.name)
        )
    with pytest.raises(DataError, match=r"q\.npz"):
        read_route(tmp_path / "q.npz")
