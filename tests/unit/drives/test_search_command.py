"""`bicameral search` and `describe-frame`, with the network that ships."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.cli.describe_frame import describe_frame
from bicameral.cli.search import search
from bicameral.errors import ConfigError, DataError, UserError
from bicameral.tables import Table
from edge.drives.reader import DriveReader
from tests.recorded_drives import write_episode


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    write_episode(tmp_path / "drives", "Town", "one", frames=60, others=True)
    return tmp_path / "drives"


def test_found_frames_are_shown_best_first_with_place_score_and_sentence(
    drives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[Table] = []
    monkeypatch.setattr("bicameral.cli.search.print_table", tables.append)
    assert search(drives, "left turn, clear day", top=2) == 0
    best, second = ([cell.text for cell in row.cells] for row in tables[0].rows)
    assert Path(best[0]) == drives / "Town" / "one" / "frames.npy"
    assert float(best[2]) >= float(second[2])
    assert abs(int(best[1]) - int(second[1])) >= 20, "2 s apart at 10 Hz"
    assert best[3].endswith(".")


def test_found_frames_are_written_as_pictures_that_describe_frame_reads(
    drives: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(drives, "night", top=1, pictures=tmp_path / "found") == 0
    assert "searched for 'night'" in capsys.readouterr().out
    assert describe_frame(tmp_path / "found" / "01.png") == 0
    sentence = capsys.readouterr().out
    assert sentence.endswith(".\n")
    assert "turns" not in sentence, "a picture does not show the route"


def test_a_frame_is_scored_by_what_it_was_told_of_the_route(drives: Path) -> None:
    reader = DriveReader.load()
    picture = np.array(np.load(drives / "Town" / "one" / "frames.npy", mmap_mode="r")[0])
    left = reader.query("left turn")
    assert reader.score(left, picture, 1) > reader.score(left, picture, 2)


def test_an_unknown_word_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown word 'pedestrian'; known: .*junction"):
        search(tmp_path / "nowhere", "pedestrian at night")


def test_a_folder_without_drives_and_one_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no collected episodes"):
        search(tmp_path, "night")
    folder = write_episode(tmp_path, "Town", "one", frames=0, others=True)
    with pytest.raises(DataError, match="hold no frames; collect some: bicameral collect"):
        search(tmp_path, "night")
    assert folder.exists()


def test_drives_of_the_camera_that_looks_down_are_refused(tmp_path: Path) -> None:
    write_episode(tmp_path, "Town", "alone", frames=2)
    with pytest.raises(DataError, match=r"another camera .* `bicameral collect --traffic N`"):
        search(tmp_path, "night")


def test_a_number_below_one_is_refused(drives: Path) -> None:
    with pytest.raises(ConfigError, match="--top is 0"):
        search(drives, "night", top=0)


def test_a_picture_smaller_than_the_camera_s_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(DataError, match="smaller than the"):
        describe_frame(tmp_path / "small.png")
