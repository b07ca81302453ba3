"""Procedural textures, drawn once per process from a seed.

Every texture repeats seamlessly. Row 0 of an image is `v = 0`: facades stand on row 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import look_up

TEXTURE_SIZE = 256

TEXTURE_NAMES: tuple[str, ...] = (
    "plain",
    "asphalt",
    "asphalt_worn",
    "grass",
    "sidewalk",
    "concrete",
    "kerb",
    "facade_plaster",
    "facade_brick",
    "facade_office",
    "facade_panel",
    "facade_house",
    "shopfront",
    "roof",
    "roof_tiles",
    "leaves",
    "conifer",
    "bark",
    "soil",
    "paint",
    "signs",
)
_INDEX = {name: index for index, name in enumerate(TEXTURE_NAMES)}

FACADE_REPEAT_M = 12.0
"""Width and height of one repeat of a facade: four windows by four floors."""
SHOPFRONT_REPEAT_M = 8.0
"""Width of one repeat of the shop fronts; the texture's full height is one floor."""
SIGN_CELLS = 4
"""The texture "signs" is an atlas of 4 x 4 faces."""
SIGN_FACES: tuple[str, ...] = (
    *("20", "30", "40", "50", "60", "70", "80", "90", "100", "110", "120", "130"),
    *("stop", "yield", "10", "back"),
)

Image = NDArray[np.float64]
Tint = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A window in its bay of 64 pixels: pixel ranges, grey level of its frame."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    frame: float
    sill: bool


_WINDOWS = {
    "facade_plaster": _Window(rows=(18, 50), columns=(20, 44), frame=228.0, sill=True),
    "facade_brick": _Window(rows=(16, 50), columns=(18, 46), frame=214.0, sill=True),
    "facade_office": _Window(rows=(12, 56), columns=(2, 62), frame=96.0, sill=False),
    "facade_panel": _Window(rows=(20, 48), columns=(12, 52), frame=232.0, sill=False),
    "facade_house": _Window(rows=(18, 46), columns=(20, 44), frame=250.0, sill=True),
}
#: Colour of each wall, and the lattice sizes and the amplitude of the noise in it.
_WALLS: dict[str, tuple[Tint, list[int], float]] = {
    "facade_plaster": ((204, 186, 156), [4, 32, 256], 6.0),
    "facade_brick": ((150, 90, 74), [8, 64], 6.0),
    "facade_office": ((150, 158, 166), [8, 128], 4.0),
    "facade_panel": ((186, 186, 180), [4, 64, 256], 6.0),
    "facade_house": ((222, 214, 198), [8, 64, 256], 5.0),
}
NIGHT_GAIN = 4.0
"""Facades by night are drawn darker and lit more by this factor, so that windows can shine."""
_LIT_OF_16 = 5
_LAMPLIGHT = (255.0, 214.0, 140.0)


def texture_index(name: str) -> int:
    """Return the layer of a texture; `UserError` if there is none of that name."""
    return look_up("texture", name, _INDEX)


def make_textures(seed: int = 0) -> NDArray[np.uint8]:
    """Draw all textures.

    Args:
        seed: Seed of the noise in them.

    Returns:
        (L, 256, 256, 4) uint8 RGBA, one layer per name in `TEXTURE_NAMES`. Alpha is 255 or 0;
        only "leaves" and "conifer" hold holes.
    """
    rng = np.random.default_rng(seed)
    layers = np.full((len(TEXTURE_NAMES), TEXTURE_SIZE, TEXTURE_SIZE, 4), 255, np.uint8)
    painted = {**_draw_ground(rng), **_draw_facades(rng), "signs": _draw_signs()}
    for name, image in painted.items():
        layers[_INDEX[name], ..., :3] = np.clip(np.rint(image), 0, 255)
    for name, (image, mask) in _draw_foliage(rng).items():
        layers[_INDEX[name], ..., :3] = np.clip(np.rint(image), 0, 255)
        layers[_INDEX[name], ..., 3] = np.where(mask, 255, 0)
    return layers


def light_windows(textures: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Switch lights on behind some windows, always the same.

    Args:
        textures: What `make_textures` returned.

    Returns:
        The textures by night, and (L,) float64 factors on the light that falls on each.
    """
    rng = np.random.default_rng(0)
    lit = textures.copy()
    gains = np.ones(len(textures))
    for name, window in _WINDOWS.items():
        layer = lit[_INDEX[name], ..., :3]
        day = layer.copy()
        layer[:] = day / NIGHT_GAIN
        gains[_INDEX[name]] = NIGHT_GAIN
        for bay in rng.permutation(16)[:_LIT_OF_16]:
            bottom, left = 64 * (bay // 4), 64 * (bay % 4)
            pane = np.s_[
                bottom + window.rows[0] : bottom + window.rows[1],
                left + window.columns[0] : left + window.columns[1],
            ]
            warm = np.array(_LAMPLIGHT) * rng.uniform(0.6, 1.0)
            layer[pane] = warm * (0.55 + 0.45 * day[pane].mean(axis=2, keepdims=True) / 255.0)
    return lit, gains


def _noise(rng: np.random.Generator, cells: Sequence[int], amplitude: float) -> Image:
    """Return smooth noise that repeats; each entry of `cells` is one octave's lattice size."""
    total: Image = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE))
    for count in cells:
        total += smooth_lattice(rng.standard_normal((count, count)), TEXTURE_SIZE)
    total *= amplitude / np.sqrt(len(cells))
    return total


def smooth_lattice(lattice: Image, size: int) -> Image:
    """Return (size, size) values smoothly between those of a lattice, repeating at the borders."""
    place = np.arange(size) * len(lattice) / size
    low = place.astype(np.intp)
    part = place - low
    part = part * part * (3.0 - 2.0 * part)
    high = (low + 1) % len(lattice)
    rows = lattice[low] * (1.0 - part)[:, None] + lattice[high] * part[:, None]
    between: Image = rows[:, low] * (1.0 - part) + rows[:, high] * part
    return between


def _tinted(base: Tint, shade: Image, tint: Tint = (1.0, 1.0, 1.0)) -> Image:
    """Return an RGB image of one base colour, 0..255, varied by `shade`."""
    image: Image = np.asarray(base, float) + shade[..., None] * np.asarray(tint, float)
    return image


def _draw_ground(rng: np.random.Generator) -> dict[str, Image]:
    """Draw what lies on the ground, and other plain materials."""
    speckle = _noise(rng, [128, 256], 9.0)
    asphalt = _tinted((92, 92, 95), speckle + _noise(rng, [4, 16], 4.0), (1, 1, 1.02))
    worn = _tinted((104, 103, 102), speckle + _noise(rng, [2, 8, 32], 8.0))
    _draw_cracks(rng, worn, count=5, darkness=26.0)
    grass = _tinted((88, 112, 58), _noise(rng, [2, 8, 32, 128, 256], 21.0), (0.95, 1.0, 0.55))
    slabs = _noise(rng, [8, 128, 256], 7.0)
    for row in range(4):
        for column in range(4):
            cell = np.s_[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
            slabs[cell] += rng.normal(0.0, 5.0)
    slabs[::64] -= 42.0
    slabs[:, ::64] -= 42.0
    kerb = _noise(rng, [32, 128], 7.0)
    kerb[:, ::128] -= 60.0
    bark = _noise(rng, [4, 16], 6.0) + np.tile(_noise(rng, [64], 16.0)[:1], (TEXTURE_SIZE, 1))
    return {
        "asphalt": asphalt,
        "asphalt_worn": worn,
        "grass": grass,
        "sidewalk": _tinted((166, 160, 150), slabs),
        "concrete": _tinted((168, 166, 160), _noise(rng, [4, 32, 256], 9.0)),
        "kerb": _tinted((186, 184, 178), kerb),
        "roof": _tinted((112, 108, 104), _noise(rng, [4, 16, 128], 10.0)),
        "roof_tiles": _draw_roof_tiles(rng),
        "bark": _tinted((96, 76, 58), bark),
        "soil": _tinted((120, 100, 74), _noise(rng, [4, 16, 64, 256], 16.0)),
        "paint": _tinted((244, 244, 242), np.minimum(_noise(rng, [16, 64, 256], 13.0), 0.0) * 1.6),
    }


def _draw_cracks(rng: np.random.Generator, image: Image, *, count: int, darkness: float) -> None:
    """Draw tar-filled cracks into a repeating image, in place."""
    mask = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.float32)
    for _ in range(count):
        steps = rng.normal(0.0, 9.0, (12, 2)) + rng.normal(0.0, 8.0, 2)
        line = np.cumsum(steps, axis=0) + rng.uniform(0, TEXTURE_SIZE, 2)
        for shift in np.ndindex(3, 3):
            moved = line + (np.array(shift) - 1) * TEXTURE_SIZE
            cv2.polylines(mask, [np.rint(moved).astype(np.int32)], False, 1.0, 1, cv2.LINE_AA)
    image -= np.clip(mask, 0.0, 1.0)[..., None] * darkness


def _draw_roof_tiles(rng: np.random.Generator) -> Image:
    """Draw rows of clay tiles."""
    row = np.arange(TEXTURE_SIZE) % 16
    column = np.arange(TEXTURE_SIZE) % 16
    shade = _noise(rng, [8, 32], 9.0) - 26.0 * (row < 3)[:, None]
    shade = shade + 9.0 * np.sin(column / 16.0 * 2.0 * np.pi)[None, :]
    return _tinted((146, 84, 64), shade)


def _draw_facades(rng: np.random.Generator) -> dict[str, Image]:
    """Draw the walls with their windows."""
    painted = {}
    for name, (colour, octaves, amplitude) in _WALLS.items():
        image = _tinted(colour, _noise(rng, octaves, amplitude))
        if name == "facade_brick":
            _draw_bricks(rng, image)
        if name == "facade_panel":
            image[::64] -= 40.0
            image[:, ::64] -= 40.0
        _draw_windows(rng, image, _WINDOWS[name])
        painted[name] = image
    return painted | {"shopfront": _draw_shopfront(rng)}


def _draw_bricks(rng: np.random.Generator, image: Image) -> None:
    """Lay courses of bricks into an image, in place."""
    for course in range(TEXTURE_SIZE // 4):
        shift = 4 * (course % 2)
        tones = np.repeat(rng.normal(0.0, 9.0, TEXTURE_SIZE // 8), 8)
        image[course * 4 : course * 4 + 4] += np.roll(tones, shift)[None, :, None]
        image[course * 4] += 16.0


def _draw_windows(rng: np.random.Generator, image: Image, window: _Window) -> None:
    """Draw 4 x 4 windows into an image, in place."""
    rows, columns, frame = window.rows, window.columns, window.frame
    gradient = np.linspace(-14.0, 22.0, rows[1] - rows[0])[:, None, None]
    for bay in np.ndindex(4, 4):
        y, x = bay[0] * 64, bay[1] * 64
        glass = np.array((66.0, 82.0, 98.0)) * rng.uniform(0.65, 1.25)
        top, left = y + rows[1], x + columns[0]
        bottom, right = y + rows[0], x + columns[1]
        image[bottom - 2 : top + 2, left - 2 : right + 2] = frame
        image[bottom:top, left:right] = glass + gradient
        if rng.random() < 0.45:  # a half-drawn curtain
            drop = int(rng.integers(6, rows[1] - rows[0] - 4))
            image[top - drop : top, left:right] = np.array((206, 200, 186)) * rng.uniform(0.7, 1.0)
        middle = (left + right) // 2
        image[bottom:top, middle - 1 : middle + 1] = frame
        if window.sill:
            image[bottom - 5 : bottom - 2, left - 4 : right + 4] = frame * 0.82


def _draw_shopfront(rng: np.random.Generator) -> Image:
    """Draw two shops of one floor, with awnings and doors."""
    image = _tinted((128, 122, 114), _noise(rng, [8, 64, 256], 6.0))
    for shop, colour in enumerate(((148, 54, 48), (52, 92, 84))):
        x = shop * 128
        image[40:176, x + 8 : x + 84] = (210.0, 206.0, 196.0)
        image[46:170, x + 12 : x + 80] = (58.0, 70.0, 82.0)
        image[46:96, x + 12 : x + 80] += _noise(rng, [16, 32], 26.0)[:50, :68, None]
        image[46:170, x + 45 : x + 47] = (210.0, 206.0, 196.0)
        image[4:176, x + 92 : x + 120] = (196.0, 190.0, 180.0)
        image[8:170, x + 96 : x + 116] = (74.0, 62.0, 52.0)
        image[70:160, x + 100 : x + 112] = (60.0, 72.0, 84.0)
        image[182:222, x + 4 : x + 124] = colour
        image[192:212, x + 24 : x + 104 : 9] = 226.0
        image[192:212, x + 26 : x + 104 : 9] = 226.0
    image[:4] = 84.0
    image[236:240] = 90.0
    return image


def _draw_foliage(rng: np.random.Generator) -> dict[str, tuple[Image, NDArray[np.bool_]]]:
    """Draw the crowns of trees: colour, and where there is something at all."""
    leaves = _noise(rng, [16, 64, 128], 17.0)
    height = np.linspace(-24.0, 20.0, TEXTURE_SIZE)[:, None]
    y, x = np.mgrid[0:TEXTURE_SIZE, 0:TEXTURE_SIZE] / TEXTURE_SIZE - 0.5
    clumps = [(0.0, 0.02, 0.36), (-0.22, -0.06, 0.23), (0.23, -0.04, 0.23), (0.02, 0.24, 0.24)]
    clumps += [(-0.14, 0.16, 0.24), (0.16, 0.15, 0.24), (0.0, -0.2, 0.25)]
    ragged = _noise(rng, [16, 32, 64], 0.035)
    crown = np.zeros(x.shape, bool)
    for centre_x, centre_y, radius in clumps:
        crown |= np.hypot(x - centre_x, y - centre_y) + ragged < radius
    crown &= _noise(rng, [32, 64], 1.0) > -1.75
    cone = np.abs(x) + ragged < (0.5 - y) * (0.34 + 0.1 * np.sin(y * 44.0))
    cone &= y < 0.48
    needles = _noise(rng, [32, 128], 13.0)
    return {
        "leaves": (_tinted((74, 102, 46), leaves + height, (0.9, 1.0, 0.6)), crown),
        "conifer": (_tinted((48, 76, 48), needles + height * 0.6, (0.8, 1.0, 0.8)), cone),
    }


def _draw_signs() -> Image:
    """Draw the atlas of sign faces; each face is a disc or octagon in its 64-pixel cell."""
    image = np.full((TEXTURE_SIZE, TEXTURE_SIZE, 3), 150, np.uint8)
    cell = TEXTURE_SIZE // SIGN_CELLS
    for index, face in enumerate(SIGN_FACES):
        tile = np.full((cell, cell, 3), 150, np.uint8)
        if face == "stop":
            tile[:] = (178, 28, 32)
            _write_centred(tile, "STOP", 0.55, (245, 245, 245))
        elif face == "yield":
            tile[:] = (200, 32, 36)
            triangle = np.array([[14, 18], [50, 18], [32, 48]], np.int32)
            cv2.fillPoly(tile, [triangle], (245, 245, 245))
        elif face != "back":
            tile[:] = (198, 24, 30)
            cv2.circle(tile, (cell // 2, cell // 2), 24, (246, 246, 246), -1, cv2.LINE_AA)
            _write_centred(tile, face, 0.85 if len(face) < 3 else 0.62, (20, 20, 20))
        row, column = divmod(index, SIGN_CELLS)
        # text is drawn with row 0 at its top, but row 0 of a texture is the bottom
        image[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = tile[::-1]
    return image.astype(np.float64)


def _write_centred(
    tile: NDArray[np.uint8], text: str, scale: float, colour: tuple[int, int, int]
) -> None:
    """Write text into the middle of an image, in place."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    corner = ((tile.shape[1] - width) // 2, (tile.shape[0] + height) // 2)
    cv2.putText(tile, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 2, cv2.LINE_AA)
