"""`bicameral classify` on real picture files and a small real cascade."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.cli.app import main
from bicameral.cli.classify import FINDINGS_EXIT_CODE


@pytest.fixture
def made(write_pair, tmp_path):
    """Write a cascade of two networks; keywords go into its block ``cascade``."""
    return lambda **changes: str(write_pair(tmp_path, {"first": 0, "second": 1}, **changes))


@pytest.fixture
def cascade(made) -> str:
    return made()


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "drawing.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


def run(capsys, *words) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["classify", *map(str, words)])
    output = capsys.readouterr()
    return int(stop.value.code), output.out, output.err


def test_a_picture_gets_a_label_and_a_trace(capsys, cascade, picture):
    code, out, _ = run(capsys, picture, "--model", cascade, "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["picture"] == str(picture)
    assert answer["label"] == answer["top"][0]["label"]
    assert answer["trace"]["stage"] in ("a", "b")
    assert 0 <= answer["trace"]["confidence_a"] <= 1
    assert set(answer["trace"]["stage_times_s"]) >= {"a"}


def test_what_is_transparent_was_not_observed_by_a_model_that_fills_it_in(
    capsys, tmp_path, masked_model
):
    picture = np.full((12, 12, 4), 255, np.uint8)
    picture[2:8, 3:9, 3] = 0
    confidences = []
    for name, hidden in (("a.png", 0), ("b.png", 200)):
        picture[2:8, 3:9, :3] = hidden
        cv2.imwrite(str(tmp_path / name), picture)
        code, out, _ = run(capsys, tmp_path / name, "--model", masked_model, "--json")
        assert code == 0
        confidences.append(json.loads(out)["confidence"])
    picture[..., 3] = 255
    cv2.imwrite(str(tmp_path / "c.png"), picture)
    _, out, _ = run(capsys, tmp_path / "c.png", "--model", masked_model, "--json")
    assert confidences[0] == confidences[1] != json.loads(out)["confidence"]


def test_top_k_classes_are_shown_most_probable_first(capsys, cascade, picture):
    code, out, _ = run(capsys, picture, "--model", cascade, "--json", "--top-k", "3")
    probabilities = [entry["probability"] for entry in json.loads(out)["top"]]
    assert code == 0
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_broken_picture_is_reported_and_the_others_are_answered(
    capsys, cascade, picture, tmp_path
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(picture.read_bytes()[:-50])
    code, out, err = run(capsys, broken, picture, "--model", cascade, "--json")
    assert code == FINDINGS_EXIT_CODE
    assert json.loads(out)["picture"] == str(picture)
    assert "broken.png" in err


def test_no_usable_picture_at_all_is_an_error(capsys, cascade, tmp_path):
    code, _, err = run(capsys, tmp_path / "absent.png", "--model", cascade)
    assert code == 2
    assert "absent.png" in err
    assert "none of the 1 pictures" in err


def test_the_table_says_who_decided(capsys, cascade, picture):
    code, out, _ = run(capsys, picture, "--model", cascade)
    assert code == 0
    assert "decided by" in out


def test_a_picture_given_twice_comes_from_the_memory(capsys, made, tmp_path, picture):
    cascade = made(memory={})
    again = tmp_path / "again.png"
    shutil.copy(picture, again)
    _, out, _ = run(capsys, picture, again, "--model", cascade, "--json")
    assert [json.loads(line)["trace"]["memory_hit"] for line in out.splitlines()] == [False, True]


def test_a_wrong_model_name_and_top_k_are_refused(capsys, cascade, picture):
    code, _, err = run(capsys, picture, "--model", "caril_z")
    assert code == 2
    assert "caril_a" in err
    code, _, err = run(capsys, picture, "--model", cascade, "--top-k", "0")
    assert code == 2
    assert "--top-k is 0" in err


def test_a_driving_agent_is_no_classifier(capsys, picture):
    code, _, err = run(capsys, picture, "--model", "caril_a")
    assert code == 2
    assert "'agent'" in err
