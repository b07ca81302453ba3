"""The data set: splits that cannot leak, and errors that name the bad file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bicameral.errors import DataError
from edge.preprocessing import canonical_from_picture
from models.caril.dataset import find_episodes, load_frames
from models.networks.steering_classes import NETWORK_IMAGE
from tests.recorded_drives import write_episode

pytestmark = pytest.mark.unit


def test_an_episode_belongs_to_one_split_and_a_test_town_only_to_the_test(data: Path) -> None:
    ids = {}
    for split in ("train", "validation", "test"):
        frames = load_frames(data, split)  # type: ignore[arg-type]
        ids[split] = {(episode.town, episode.episode_id) for episode in frames.episodes}
    assert not ids["train"] & ids["validation"]
    assert {town for town, _ in ids["test"]} == {"Ridgeway"}
    assert "Ridgeway" not in {town for town, _ in ids["train"] | ids["validation"]}
    assert "Valley" in {town for town, _ in ids["validation"]}


def test_one_training_episode_in_eight_validates_whatever_else_is_there(tmp_path: Path) -> None:
    for number in range(40):
        write_episode(tmp_path, "Train01", f"e{number:03}", frames=1)
    before = {episode.episode_id: episode.split for episode in find_episodes(tmp_path)}
    held_out = [name for name, split in before.items() if split == "validation"]
    assert 2 <= len(held_out) <= 9
    for number in range(40, 50):
        write_episode(tmp_path, "Train01", f"e{number:03}", frames=1)
    after = {episode.episode_id: episode.split for episode in find_episodes(tmp_path)}
    assert {name: after[name] for name in before} == before


def test_a_town_in_training_and_test_is_refused(tmp_path: Path) -> None:
    write_episode(tmp_path, "Train01", "a", frames=1)
    write_episode(tmp_path, "Train01", "b", split="test", frames=1)
    with pytest.raises(DataError, match=r"Train01.*both trained on and tested on"):
        find_episodes(tmp_path)


def test_frames_are_the_reduced_pictures_in_order_and_cached_once(tmp_path: Path) -> None:
    folder = write_episode(tmp_path, "Ridgeway", "t", split="test", frames=7)
    first = load_frames(tmp_path, "test")
    caches = list(folder.glob("network-*.npy"))
    assert len(caches) == 1
    second = load_frames(tmp_path, "test")
    expected = canonical_from_picture(np.load(folder / "frames.npy"), NETWORK_IMAGE)
    order = np.array([6, 0, 3])
    assert (first.gather(order) == expected[order]).all()
    assert (second.gather(order) == expected[order]).all()
    labels = np.load(folder / "labels.npz")
    assert (first.steer == labels["steer_expert"]).all()


def test_weathers_can_be_chosen_and_a_misspelt_one_is_named(data: Path) -> None:
    frames = load_frames(data, "train", weathers=["night"])
    assert {episode.weather for episode in frames.episodes} == {"night"}
    with pytest.raises(DataError, match=r"nihgt.*the data hold"):
        load_frames(data, "train", weathers=["nihgt"])


def test_dagger_episodes_are_marked(data: Path) -> None:
    frames = load_frames(data, "train")
    drivers = np.array([episode.driver for episode in frames.episodes])[frames.episode]
    assert (frames.dagger == (drivers == "dagger:a")).all()
    assert frames.dagger.any()


def test_other_labels_give_another_fingerprint(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    assert (
        load_frames(tmp_path / "copy", "train").fingerprint
        == load_frames(data, "train").fingerprint
    )
    folder = load_frames(tmp_path / "copy", "train").episodes[0].folder
    labels = dict(np.load(folder / "labels.npz"))
    labels["steer_expert"] = labels["steer_expert"] * 0.5
    np.savez(folder / "labels.npz", **labels)
    assert (
        load_frames(tmp_path / "copy", "train").fingerprint
        != load_frames(data, "train").fingerprint
    )


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("name", ["frames.npy", "labels.npz", "episode.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_episode(tmp_path, "Ridgeway", "t", split="test", frames=3)
    _truncate(folder / name) if name != "episode.json" else (folder / name).write_text("{")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        load_frames(tmp_path, "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "training"}, "split is 'training'"),
        ({"complete": False}, "not marked complete"),
    ],
)
def test_a_wrong_record_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    folder = write_episode(tmp_path, "Train01", "a", frames=1)
    record = json.loads((folder / "episode.json").read_text())
    (folder / "episode.json").write_text(json.dumps(record | change))
    with pytest.raises(DataError, match=message):
        find_episodes(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), 1.5])
def test_labels_out_of_range_are_refused(tmp_path: Path, value: float) -> None:
    folder = write_episode(tmp_path, "Ridgeway", "t", split="test", frames=3)
    labels = dict(np.load(folder / "labels.npz"))
    labels["steer_expert"][1] = value
    np.savez(folder / "labels.npz", **labels)
    with pytest.raises(DataError, match="steer"):
        load_frames(tmp_path, "test")


def test_an_episode_that_is_still_being_written_is_not_there(tmp_path: Path) -> None:
    write_episode(tmp_path, "Train01", "a", frames=1)
    write_episode(tmp_path, "Train01", ".partial-b", frames=1)
    assert [episode.episode_id for episode in find_episodes(tmp_path)] == ["a"]


def test_an_episode_without_frames_does_no_harm(tmp_path: Path) -> None:
    write_episode(tmp_path, "Ridgeway", "empty", split="test", frames=0)
    write_episode(tmp_path, "Ridgeway", "full", split="test", frames=4)
    frames = load_frames(tmp_path, "test")
    assert len(frames) == 4
    assert frames.gather(np.arange(4)).shape == (4, 64, 160, 3)


def test_pictures_of_another_camera_are_refused(tmp_path: Path) -> None:
    folder = write_episode(tmp_path, "Ridgeway", "t", split="test", frames=2)
    np.save(folder / "frames.npy", np.zeros((2, 448, 448, 3), np.uint8))
    with pytest.raises(DataError, match=r"frames\.npy has shape"):
        load_frames(tmp_path, "test")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bicameral collect"):
        load_frames(tmp_path, "train")


def test_the_road_ahead_is_read_and_older_data_have_none(tmp_path: Path) -> None:
    write_episode(tmp_path, "Ridgeway", "new", split="test", frames=2)
    old = write_episode(tmp_path, "Ridgeway", "old", split="test", frames=3, ahead=False)
    frames = load_frames(tmp_path, "test")
    assert frames.ahead_m.shape == (5, 6, 2)
    assert np.isnan(frames.ahead_m).all(axis=(1, 2)).tolist() == [False] * 2 + [True] * 3
    with pytest.raises(DataError, match=rf"1 of 2 episodes have no column ahead_m.*{old.name}"):
        frames.require_path()
    frames.select(~np.isnan(frames.ahead_m[:, 0, 0])).require_path()


def test_a_road_ahead_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = write_episode(tmp_path, "Ridgeway", "t", split="test", frames=3)
    labels = dict(np.load(folder / "labels.npz"))
    labels["ahead_m"] = labels["ahead_m"][:, :5]
    np.savez(folder / "labels.npz", **labels)
    with pytest.raises(DataError, match=r"ahead_m has shape \(3, 5, 2\)"):
        load_frames(tmp_path, "test")
