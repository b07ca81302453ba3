"""Pictures as people have them, decoded into what a model sees; nothing damaged gets through."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from bicameral.errors import DataError
from edge.encoded_pictures import read_encoded_picture
from edge.pictures import decode_picture, read_picture
from edge.preprocessing import canonical_from_picture
from edge.sidecar import ImageSpec

pytestmark = pytest.mark.unit

RGB = ImageSpec(
    height=4, width=6, color="RGB", scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)
)
BGR = RGB.model_copy(update={"color": "BGR"})
GREY = ImageSpec(height=4, width=6, color="GRAY", scale=1 / 255, mean=(0.3,), std=(0.3,))
GREY_INVERTED = GREY.model_copy(update={"invert": True})

#: 16 x 8 pixels, the left half (200, 30, 40), the right half (30, 180, 60).
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAW"
    "EBETFBUVFQwPFxgWFBgSFBUU/8AAFAgACAAQBEMRAE0RAFkRAEsRAP/EABcAAQEBAQAAAAAAAAAAAAAAAAkIAAb/xAAU"
    "EAEAAAAAAAAAAAAAAAAAAAAA/9oADgRDAE0AWQBLAAA/ALAH0hQqYOjIO2Z//9k="
)
ANIMATED_WEBP = base64.b64decode(
    "UklGRrQAAABXRUJQVlA4WAoAAAACAAAADwAABwAAQU5JTQYAAAAAAAAAAABBTk1GQAAAAAAAAAAAAA8AAAcAAAAAAAJW"
    "UDggKAAAAFABAJ0BKhAACAAHQJYloAAEdAAA/tXXZ1/odgNX7/+rvoH9igMAAABBTk1GQAAAAAAAAAAAAA8AAAcAAAAA"
    "AABWUDggKAAAAFQBAJ0BKhAACAAAAJYloAAFjAAA/sr2u8u26dX0P/+tvUn9CUwAAAA="
)


def _picture(height: int = 8, width: int = 12, channels: int = 3) -> np.ndarray:
    """Random pixels, RGB."""
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def _encode(suffix: str, pixels: np.ndarray, *parameters: int) -> bytes:
    """Encode RGB, RGBA or grey pixels."""
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    return bytes(cv2.imencode(suffix, pixels, parameters)[1])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(
    size: tuple[int, int], depth: int, color_type: int, rows: bytes, *chunks: tuple[bytes, bytes]
) -> bytes:
    """Build a PNG by hand: what an encoder of one's own choice would not write."""
    header = struct.pack(">IIBBBBB", *size, depth, color_type, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in body)


def _exif(orientation: int, order: str = "MM") -> bytes:
    """Build a TIFF block with one entry."""
    sign = ">" if order == "MM" else "<"
    entry = struct.pack(f"{sign}HHIHH", 0x0112, 3, 1, orientation, 0)
    return order.encode() + struct.pack(f"{sign}HIH", 42, 8, 1) + entry + bytes(4)


def _with_exif(jpeg: bytes, exif: bytes) -> bytes:
    body = b"Exif\0\0" + exif
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def _webp_chunks(webp: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Add chunks behind those of a WebP file."""
    more = b"".join(
        kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for kind, body in chunks
    )
    content = webp[8:] + more
    return b"RIFF" + struct.pack("<I", len(content)) + content


# Formats and colours


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_pictures_keep_every_pixel(suffix: str) -> None:
    pixels = _picture()
    decoded = decode_picture(_encode(suffix, pixels), RGB)
    assert np.array_equal(decoded, pixels)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous


def test_lossless_webp_keeps_every_pixel() -> None:
    webp = _encode(".webp", _picture(), cv2.IMWRITE_WEBP_QUALITY, 101)
    assert b"VP8L" in webp
    assert np.array_equal(decode_picture(webp, RGB), _picture())


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_keep_their_colours(suffix: str) -> None:
    pixels = np.full((24, 16, 3), (200, 30, 40), np.uint8)
    pixels[:, 8:] = (30, 180, 60)
    decoded = decode_picture(_encode(suffix, pixels), RGB).astype(int)
    assert decoded.shape == pixels.shape
    assert np.abs(decoded[:, [3, 12]] - pixels[:, [3, 12]]).max() <= 4


def test_a_progressive_jpeg_is_decoded_like_any_other() -> None:
    jpeg = _encode(".jpg", _picture(16, 16), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    baseline = _encode(".jpg", _picture(16, 16))
    assert np.array_equal(decode_picture(jpeg, RGB), decode_picture(baseline, RGB))


def test_a_cmyk_jpeg_shows_its_colours() -> None:
    decoded = decode_picture(CMYK_JPEG, RGB).astype(int)
    assert decoded.shape == (8, 16, 3)
    assert np.abs(decoded[:, :8] - (200, 30, 40)).max() <= 3
    assert np.abs(decoded[:, 8:] - (30, 180, 60)).max() <= 3


def test_the_channels_stand_in_the_order_of_the_model() -> None:
    png = _encode(".png", _picture())
    assert np.array_equal(decode_picture(png, BGR), _picture()[..., ::-1])


def test_colours_become_grey_by_their_luminance() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [77, 77, 77]]], np.uint8)
    grey = decode_picture(_encode(".png", pixels), GREY)
    assert grey[0, :, 0].tolist() == [76, 150, 29, 77]  # round(255 * (0.299, 0.587, 0.114))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_grey_pictures_serve_both_kinds_of_models(suffix: str) -> None:
    level = np.full((8, 8), 90, np.uint8)
    assert (decode_picture(_encode(suffix, level), GREY) == np.full((8, 8, 1), 90)).all()
    assert (decode_picture(_encode(suffix, level), RGB) == np.full((8, 8, 3), 90)).all()


@pytest.mark.parametrize(
    ("depth", "row", "levels"),
    [(1, b"\x40", [0, 255]), (2, b"\x60", [85, 170]), (4, b"\x1e", [17, 238])],
)
def test_grey_of_few_bits_is_stretched(depth: int, row: bytes, levels: list[int]) -> None:
    png = _png((2, 1), depth, 0, b"\0" + row)
    assert decode_picture(png, GREY)[0, :, 0].tolist() == levels


def test_a_palette_is_looked_up() -> None:
    png = _png((2, 1), 8, 3, b"\0\1\0", (b"PLTE", bytes([1, 2, 3, 40, 50, 60])))
    assert decode_picture(png, RGB).tolist() == [[[40, 50, 60], [1, 2, 3]]]


def test_sixteen_bits_are_rounded_to_eight() -> None:
    levels = np.array([[0, 128, 129, 257, 32_896, 65_406, 65_407, 65_535]], np.uint16)
    grey = decode_picture(_encode(".png", levels), GREY)
    assert grey[0, :, 0].tolist() == [0, 0, 1, 1, 128, 254, 255, 255]
    color = np.stack([levels, levels[:, ::-1], levels], axis=2)
    decoded = decode_picture(_encode(".png", color), RGB)
    assert decoded[0, :, 0].tolist() == grey[0, :, 0].tolist()
    assert decoded[0, :, 1].tolist() == grey[0, ::-1, 0].tolist()


# Transparency


def _half_transparent() -> np.ndarray:
    """One row: opaque, half and fully transparent, all (100, 100, 100)."""
    return np.array([[[100, 100, 100, alpha] for alpha in (255, 128, 0)]], np.uint8)


@pytest.mark.parametrize(
    ("spec", "levels"),
    [(RGB, [100, 177, 255]), (GREY, [100, 50, 0]), (GREY_INVERTED, [100, 177, 255])],
)
def test_transparent_parts_get_the_background_of_the_model(
    spec: ImageSpec, levels: list[int]
) -> None:
    decoded = decode_picture(_encode(".png", _half_transparent()), spec)
    assert decoded[0, :, 0].tolist() == levels


def test_the_background_is_black_to_a_network_of_grey_pictures_whatever_its_polarity() -> None:
    cut_out = _encode(".png", np.zeros((4, 6, 4), np.uint8))
    for spec in (GREY, GREY_INVERTED):
        assert (canonical_from_picture(decode_picture(cut_out, spec), spec) == 0).all()


def test_inversion_is_left_to_the_preprocessing() -> None:
    png = _encode(".png", np.full((4, 6), 200, np.uint8))
    assert (decode_picture(png, GREY_INVERTED) == 200).all()
    assert (canonical_from_picture(decode_picture(png, GREY_INVERTED), GREY_INVERTED) == 55).all()


@pytest.mark.parametrize(
    ("depth", "color_type", "row", "chunks"),
    [
        (8, 4, bytes([9, 255, 9, 0]), []),  # grey with alpha
        (16, 4, bytes([9, 9, 255, 255, 9, 9, 0, 0]), []),
        (8, 0, bytes([9, 8]), [(b"tRNS", bytes([0, 8]))]),  # a transparent grey level
        (16, 0, bytes([9, 9, 9, 8]), [(b"tRNS", bytes([9, 8]))]),
        (4, 0, b"\x1e", [(b"tRNS", bytes([0, 14]))]),
        (8, 2, bytes([9, 9, 9, 8, 8, 8]), [(b"tRNS", bytes([0, 8, 0, 8, 0, 8]))]),
        (8, 3, b"\0\1", [(b"PLTE", bytes([9, 9, 9, 8, 8, 8])), (b"tRNS", bytes([255, 0]))]),
    ],
)
def test_every_way_to_be_transparent_is_understood(
    depth: int, color_type: int, row: bytes, chunks: list[tuple[bytes, bytes]]
) -> None:
    png = _png((2, 1), depth, color_type, b"\0" + row, *chunks)
    opaque, transparent = decode_picture(png, RGB)[0].tolist()
    assert opaque in ([9, 9, 9], [17, 17, 17])
    assert transparent == [255, 255, 255]


def test_transparent_webp_is_composited() -> None:
    webp = _encode(".webp", np.zeros((6, 5, 4), np.uint8), cv2.IMWRITE_WEBP_QUALITY, 101)
    assert (decode_picture(webp, RGB) == 255).all()


# Orientation


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_sideways_gives_an_upright_picture(orientation: int, order: str) -> None:
    jpeg = _with_exif(_encode(".jpg", _picture(16, 24)), _exif(orientation, order))
    # OpenCV applies the orientation itself when it is asked for a colour picture.
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decode_picture(jpeg, BGR), expected)
    assert expected.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))


def test_png_and_webp_are_turned_upright_too() -> None:
    pixels = _picture()
    turned = np.rot90(pixels, -1)  # orientation 6: turn clockwise
    png = _encode(".png", pixels)
    png = png[:33] + _chunk(b"eXIf", _exif(6)) + png[33:]
    assert np.array_equal(decode_picture(png, RGB), turned)
    webp = _encode(".webp", pixels, cv2.IMWRITE_WEBP_QUALITY, 101)
    assert np.array_equal(decode_picture(_webp_chunks(webp, (b"EXIF", _exif(6))), RGB), turned)


@pytest.mark.parametrize("exif", [b"", b"MM", b"XX\0*", _exif(6)[:12], _exif(0), _exif(9)])
def test_a_damaged_exif_block_leaves_the_picture_as_it_is(exif: bytes) -> None:
    jpeg = _encode(".jpg", _picture())
    assert np.array_equal(decode_picture(_with_exif(jpeg, exif), RGB), decode_picture(jpeg, RGB))


# What is refused


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"hello world", "not a picture in a known format"),
        (b"GIF89a" + bytes(20), "known are JPEG, PNG, WebP and BMP"),
        (ANIMATED_WEBP, "animation"),
        (_png((0, 1), 8, 0, b"\0"), "no pixels"),
        (_png((2, 1), 8, 0, b"\0"), "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n" + _chunk(b"IEND", b""), "header chunk"),
        (b"\xff\xd8\xff\xd9" + bytes(30), "damaged"),
        (b"BM" + bytes(30), "no pixels"),
    ],
)
def test_what_is_no_picture_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_picture(data, RGB)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_picture_that_is_cut_off_is_refused(suffix: str, share: float) -> None:
    data = _encode(suffix, _picture(40, 40))
    with pytest.raises(DataError):
        decode_picture(data[: int(len(data) * share)], RGB)


def test_a_changed_byte_in_a_png_is_noticed() -> None:
    data = bytearray(_encode(".png", _picture(40, 40)))
    data[len(data) // 2] ^= 1
    with pytest.raises(DataError, match="wrong checksum"):
        decode_picture(bytes(data), RGB)


def _claiming(width: int, height: int) -> dict[str, bytes]:
    """Return small files that claim to be large pictures."""
    jpeg = bytearray(_encode(".jpg", _picture()))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    bmp = bytearray(_encode(".bmp", _picture()))
    bmp[18:26] = struct.pack("<ii", width, -height)
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return {
        "JPEG": bytes(jpeg),
        "PNG": _png((width, height), 8, 0, b"\0"),
        "WebP": _webp_chunks(b"RIFF\0\0\0\0WEBP", (b"VP8X", canvas)),
        "BMP": bytes(bmp),
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "BMP"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(kind: str) -> None:
    with pytest.raises(DataError, match=rf"the {kind} has 9000 x 8000 pixels, allowed are 64,000"):
        decode_picture(_claiming(9000, 8000)[kind], RGB)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_the_limit_counts_pixels_exactly(suffix: str) -> None:
    data = _encode(suffix, _picture(8, 12))
    assert decode_picture(data, RGB, max_pixels=96).shape == (8, 12, 3)
    with pytest.raises(DataError, match="12 x 8 pixels, allowed are 95"):
        decode_picture(data, RGB, max_pixels=95)


def test_texts_and_profiles_never_reach_the_decoder(capfd: pytest.CaptureFixture[str]) -> None:
    png = _encode(".png", _picture())
    profile = _chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    assert np.array_equal(decode_picture(png[:33] + profile + png[33:], RGB), _picture())
    assert capfd.readouterr().err == ""


def test_a_file_is_named_in_every_error(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    with pytest.raises(DataError, match=r"cannot read the picture .*cat\.png: No such file"):
        read_picture(path, RGB)
    path.write_bytes(b"meow")
    with pytest.raises(DataError, match=r"cannot use the picture .*cat\.png: not a picture"):
        read_picture(path, RGB)
    path.write_bytes(_encode(".png", _picture()))
    assert np.array_equal(read_picture(path, RGB), _picture())


def _progressive(*more: int, pixels: np.ndarray | None = None) -> bytes:
    parameters = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, *more)
    return _encode(".jpg", _picture(64, 96) if pixels is None else pixels, *parameters)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["colour", "grey", "cmyk", "fine", "restarts", "progressive"])
def test_half_a_jpeg_is_refused_whatever_its_end_looks_like(kind: str, share: float) -> None:
    picture = _picture(64, 96)
    jpeg = {
        "colour": lambda: _encode(".jpg", picture),
        "grey": lambda: _encode(".jpg", picture[..., 0]),
        "cmyk": lambda: _cmyk(picture),
        "fine": lambda: _encode(".jpg", picture, cv2.IMWRITE_JPEG_QUALITY, 100),
        "restarts": lambda: _encode(".jpg", picture, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "progressive": _progressive,
    }[kind]()
    decode_picture(jpeg, RGB)
    if kind == "progressive" and share == 0.9:
        share = 0.6  # behind that, bits of the last scan are missing, which nobody can see
    with pytest.raises(DataError, match="cut off"):
        decode_picture(jpeg[: int(len(jpeg) * share)] + b"\xff\xd9", RGB)


def _cmyk(picture: np.ndarray) -> bytes:
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.fromarray(picture).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("level", [64, 65, 127, 128])
def test_a_grey_picture_is_not_taken_for_a_cut_off_one(level: int) -> None:
    even = np.full((64, 96, 3), level, np.uint8)
    for jpeg in (_encode(".jpg", even), _encode(".jpg", even[..., 0]), _progressive(pixels=even)):
        assert np.abs(decode_picture(jpeg, RGB).astype(int) - level).max() <= 1


def test_scans_cost_time_so_they_are_counted() -> None:
    jpeg = _progressive()
    assert read_encoded_picture(jpeg).scans == 10
    last = jpeg[jpeg.rfind(b"\xff\xda") : -2]
    assert read_encoded_picture(jpeg[:-2] + last * 20 + b"\xff\xd9").scans == 30
    with pytest.raises(DataError, match="110 scans, allowed are 64"):
        read_encoded_picture(jpeg[:-2] + last * 100 + b"\xff\xd9")
    assert read_encoded_picture(_encode(".jpg", _picture())).scans == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + b"\xff" * 100_000,
        b"\xff\xd8" + b"\xff\xfe\0\2" * 50_000,
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", bytes(13)) + _chunk(b"IDAT", b"") * 50_000,
        b"RIFF" + struct.pack("<I", 400_004) + b"WEBP" + b"ABCD\0\0\0\0" * 50_000,
    ],
)
def test_a_file_of_many_small_parts_is_refused_after_a_few(data: bytes) -> None:
    with pytest.raises(DataError, match="parts"):
        read_encoded_picture(data)


def test_large_pictures_become_the_same_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (40, 30, 4), np.uint16)
    files = [_encode(".png", deep), _encode(".png", _picture(40, 30)), _encode(".jpg", _picture())]
    whole = [decode_picture(file, spec) for file in files for spec in (RGB, BGR, GREY)]
    monkeypatch.setattr("edge.pictures._BAND_PIXELS", 100)
    bands = [decode_picture(file, spec) for file in files for spec in (RGB, BGR, GREY)]
    for one, other in zip(whole, bands, strict=True):
        np.testing.assert_array_equal(one, other)
