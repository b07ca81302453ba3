"""Image folders: a folder is a class, and what does not fit is named."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bicameral.errors import DataError
from edge.preprocessing import resize_area_int
from models.data.dataset import SourceImages
from models.data.folders import read_image_folder

pytestmark = pytest.mark.unit


def _write(path: Path, seed: int, size: tuple[int, int] = (8, 10)) -> np.ndarray:
    """Write a random picture and return its pixels, RGB."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    return pixels


def _fill(folder: Path, classes: str = "ab", count: int = 2, seed: int = 0) -> Path:
    for label in classes:
        for number in range(count):
            _write(folder / label / f"{number}.png", seed + ord(label) * 100 + number)
    return folder


def _read(folder: Path) -> SourceImages:
    return read_image_folder(folder, image_size=(4, 5), color="RGB")


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    _fill(tmp_path, "dcb", count=3)
    source = _read(tmp_path)
    assert source.name == tmp_path.name
    assert source.labels == ("b", "c", "d")
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert (source.validation, source.test) == (None, None)


def test_pictures_of_any_size_are_reduced_as_a_model_reduces_them(tmp_path: Path) -> None:
    _fill(tmp_path / "data")
    pixels = _write(tmp_path / "data" / "a" / "0.png", 7, (33, 21))
    source = _read(tmp_path / "data")
    assert source.train.images.shape == (4, 4, 5, 3)
    assert np.array_equal(source.train.images[0], resize_area_int(pixels, 4, 5))


def test_pictures_become_grey_if_asked(tmp_path: Path) -> None:
    _fill(tmp_path)
    source = read_image_folder(tmp_path, image_size=(4, 4), color="GRAY")
    assert source.train.images.shape == (4, 4, 4, 1)
    assert (source.color, source.mirror_allowed) == ("GRAY", False)


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_given_parts_are_kept_apart(tmp_path: Path, validation: str) -> None:
    _fill(tmp_path / "train", count=3)
    _fill(tmp_path / validation, count=1, seed=1000)
    _fill(tmp_path / "test", count=2, seed=2000)
    source = _read(tmp_path)
    assert source.validation is not None
    assert source.test is not None
    assert [len(part) for part in (source.train, source.validation, source.test)] == [6, 2, 4]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for label in ("bus", "train", "test"):
        _write(tmp_path / label / "0.png", 0)
    assert _read(tmp_path).labels == ("bus", "test", "train")


def test_hidden_files_and_other_files_are_left_out(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.txt").write_text("two classes")
    (tmp_path / "a" / "notes.txt").write_text("nice")
    (tmp_path / "a" / "._0.png").write_bytes(b"resource fork")
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "0.PNG")
    assert len(_read(tmp_path).train) == 4


def test_a_corrupt_picture_is_named(tmp_path: Path) -> None:
    _fill(tmp_path)
    path = tmp_path / "b" / "1.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cannot use the picture .*/b/1\.png: .*cut off"):
        _read(tmp_path)


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    _fill(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    with pytest.raises(DataError, match=r"pictures cannot be read: .*/a/pipe\.png is no file"):
        _read(tmp_path)


@pytest.mark.parametrize(("classes", "count"), [("", 0), ("a", 1)])
def test_fewer_than_two_classes_are_refused(tmp_path: Path, classes: str, count: int) -> None:
    _fill(tmp_path, classes)
    with pytest.raises(DataError, match=f"holds {count} class folders"):
        _read(tmp_path)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match=r"class folder .*/c holds no pictures"):
        _read(tmp_path)


def test_folders_within_a_class_are_refused(tmp_path: Path) -> None:
    _fill(tmp_path)
    _write(tmp_path / "a" / "more" / "0.png", 0)
    with pytest.raises(DataError, match="holds the folder 'more'"):
        _read(tmp_path)


def test_every_part_has_the_same_classes(tmp_path: Path) -> None:
    _fill(tmp_path / "train", "abc")
    _fill(tmp_path / "test", "abd")
    with pytest.raises(DataError, match=r"/test does not .* missing c; unknown d"):
        _read(tmp_path)


def test_two_validation_folders_are_one_too_many(tmp_path: Path) -> None:
    for part in ("train", "val", "validation"):
        _fill(tmp_path / part)
    with pytest.raises(DataError, match="both a folder 'val' and a folder 'validation'"):
        _read(tmp_path)


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot list .*nowhere"):
        _read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "valid", "test"), ("Train", "Val", "Test"), ("training", "Validation", "TESTING")],
)
def test_parts_are_known_in_every_usual_spelling(
    tmp_path: Path, train: str, validation: str, test: str
) -> None:
    for seed, part in enumerate((train, validation, test)):
        _fill(tmp_path / part, count=seed + 1, seed=1000 * seed)
    source = _read(tmp_path)
    assert source.validation is not None
    assert source.test is not None
    assert [len(part) for part in (source.train, source.validation, source.test)] == [2, 4, 6]


@pytest.mark.parametrize("parts", [("train", "dev"), ("valid", "test"), ("Train", "Val", "bag")])
def test_a_division_that_is_not_understood_names_the_parts(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    for part in parts:
        _fill(tmp_path / part)
    with pytest.raises(DataError, match=r"looks divided .* train, training, val, valid"):
        _read(tmp_path)


def test_what_is_left_out_is_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _fill(tmp_path)
    for number in range(3):
        (tmp_path / "a" / f"{number}.HEIC").write_bytes(b"heic")
    _write(tmp_path / "loose.png", 0)
    (tmp_path / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "b" / ".DS_Store").write_bytes(b"")
    assert len(_read(tmp_path).train) == 4
    assert "5 files are left out" in caplog.text
    assert f"3 .heic in {tmp_path / 'a'}" in caplog.text
    assert f"1 .png in {tmp_path}," in caplog.text
    assert f"1 .png in {tmp_path / 'b'}" in caplog.text


def test_files_without_a_suffix_are_counted_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _fill(tmp_path)
    for number in range(3):
        (tmp_path / "a" / f"image{number}").write_bytes(b"?")
    _read(tmp_path)
    assert f"3 without a suffix in {tmp_path / 'a'}" in caplog.text


#: Suffix of a file -> Pillow's name of the format, for formats of every kind that it reads.
FORMATS = {
    **{"tif": "TIFF", "TIFF": "TIFF", "gif": "GIF", "ppm": "PPM", "pnm": "PPM", "dib": "DIB"},
    **{"jpe": "JPEG", "jfif": "JPEG", "avif": "AVIF", "jp2": "JPEG2000", "J2K": "JPEG2000"},
    **{"tga": "TGA", "ico": "ICO", "pcx": "PCX", "sgi": "SGI", "qoi": "QOI", "dds": "DDS"},
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_that_pillow_reads_are_read(tmp_path: Path, suffix: str) -> None:
    _fill(tmp_path)
    pixels = np.full((16, 20, 3), (10, 120, 230), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a" / f"2.{suffix}", format=FORMATS[suffix])
    source = _read(tmp_path)
    assert len(source.train) == 5
    assert np.abs(source.train.images[2].astype(int) - pixels[:4, :5]).max() < 24


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "AVIF", "JPEG2000", "PNG"])
def test_a_picture_may_bear_the_suffix_of_another_format(tmp_path: Path, kind: str) -> None:
    _fill(tmp_path)
    Image.new("RGB", (20, 16), (10, 120, 230)).save(tmp_path / "a" / "2.jpg", format=kind)
    assert np.abs(_read(tmp_path).train.images[2].astype(int) - (10, 120, 230)).max() < 24


@pytest.mark.parametrize(("aspect", "expected"), [("stretch", [85, 255]), ("crop", [255, 255])])
def test_pictures_of_other_proportions_are_stretched_or_cropped(
    tmp_path: Path, aspect: str, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 4:20] = 255
    for label in "ab":
        (tmp_path / label).mkdir()
        assert cv2.imwrite(str(tmp_path / label / "0.png"), wide)
    source = read_image_folder(tmp_path, image_size=(4, 4), color="GRAY", aspect=aspect)
    assert source.aspect == aspect
    assert source.train.images[0, 0, :2, 0].tolist() == expected
    assert ("stretched by a factor of 3.00" in caplog.text) == (aspect == "stretch")


def test_an_animation_is_not_read_as_its_first_frame(tmp_path: Path) -> None:
    _fill(tmp_path)
    pages = [np.full((8, 8, 3), level, np.uint8) for level in (0, 255)]
    assert cv2.imwritemulti(str(tmp_path / "a" / "pages.tif"), pages)
    with pytest.raises(DataError, match=r"pages\.tif: it holds 2 pictures"):
        _read(tmp_path)


def test_a_damaged_picture_of_a_known_ending_is_called_damaged_not_unknown(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / "a" / "2.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="it is damaged, or no GIF picture") as caught:
        _read(tmp_path)
    assert "known are" not in str(caught.value)


def test_everything_that_stands_against_a_folder_is_told_at_once(tmp_path: Path) -> None:
    _fill(tmp_path / "train", "abc")
    _fill(tmp_path / "test", "abd")
    (tmp_path / "train" / "a" / "0.png").write_bytes(b"no picture")
    (tmp_path / "test" / "b" / "1.png").write_bytes(b"")
    (tmp_path / "train" / "c" / "0.gif").write_bytes(b"GIF89a")
    for path in (tmp_path / "test" / "a").iterdir():
        path.rename(path.with_suffix(".heif"))
    _write(tmp_path / "train" / "b" / "more" / "0.png", 0)
    with pytest.raises(DataError) as caught:
        _read(tmp_path)
    text = str(caught.value)
    for part in (
        "train/a/0.png",
        "train/c/0.gif",
        "test/b/1.png",
        "2 of 7 pictures cannot be read",
        "1 of 2 pictures cannot be read",
        "missing c; unknown d",
        "the folder 'more'",
        "test/a holds no pictures",
        "2 .heif in ",
    ):
        assert part in text


def test_a_picture_in_two_classes_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _fill(tmp_path)
    (tmp_path / "b" / "copy.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    _read(tmp_path)
    assert "1 pictures lie in two classes: a/1.png = b/copy.png" in caplog.text
