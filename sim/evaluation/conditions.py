"""What a drive has to cope with, by name: a weather, or something wrong with the camera.

Nothing tells the agent. What is wrong depends on the condition and the episode's seed alone, never
on the agent, so that all agents of a route and a seed meet the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import look_up
from sim.client.ego import MOUNTED_RIGHT, MountError
from sim.client.weather import WEATHERS, Weather

#: What a patch looks like: a dark grey, as of dirt on the lens.
PATCH_GREY = 40

#: A patch's height and width by those of the picture: 60 x 120 pixels of the agents' 160 x 320.
_PATCH_SIZE = (60 / 160, 120 / 320)

#: It begins no higher than this, by the picture's height: above is sky, which tells nothing.
_PATCH_TOP = 40 / 160

#: Keeps the draws of the patch apart from all others of the episode.
_PATCH_STREAM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A rectangle of the picture that shows nothing.

    All in parts of the picture's height or width, 0..1.
    """

    top: float
    left: float
    height: float
    width: float

    def cover(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of an (H, W, 3) uint8 picture with the patch over it."""
        rows, columns = image.shape[:2]
        top, left = round(self.top * rows), round(self.left * columns)
        covered = image.copy()
        covered[
            top : top + round(self.height * rows), left : left + round(self.width * columns)
        ] = PATCH_GREY
        return covered


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraFault:
    """What is wrong with the agent's camera in one episode.

    Attributes:
        mount: How far it is from where it belongs.
        patch: What covers its picture, or None.
    """

    mount: MountError = MOUNTED_RIGHT
    patch: Patch | None = None

    def describe(self) -> dict[str, dict[str, float]]:
        """Return what is recorded with the episode; empty if nothing is wrong."""
        mount = {} if self.mount == MOUNTED_RIGHT else {"mount": asdict(self.mount)}
        return mount if self.patch is None else mount | {"patch": asdict(self.patch)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One of `CONDITIONS`.

    Attributes:
        weather: The sky, before its seeded change.
        mount: How the agent's camera is mounted wrongly.
        patched: Whether a patch covers part of the picture.
    """

    weather: Weather = WEATHERS["clear"]
    mount: MountError = MOUNTED_RIGHT
    patched: bool = False

    def draw_fault(self, seed: int) -> CameraFault:
        """Draw what is left to chance: the place of the patch, from the episode's seed."""
        if not self.patched:
            return CameraFault(mount=self.mount)
        down, across = np.random.default_rng([seed, _PATCH_STREAM]).uniform(size=2)
        height, width = _PATCH_SIZE
        patch = Patch(
            top=_PATCH_TOP + float(down) * (1.0 - height - _PATCH_TOP),
            left=float(across) * (1.0 - width),
            height=height,
            width=width,
        )
        return CameraFault(mount=self.mount, patch=patch)


#: The weathers, with a camera as it should be; then clear days on which the camera looks 3 degrees
#: too high, too low or too far right, sits 0.2 m too far right, or is partly covered.
CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {name: Condition(weather=weather) for name, weather in WEATHERS.items()}
    | {
        "pitch_up": Condition(mount=MountError(pitch_deg=3.0)),
        "pitch_down": Condition(mount=MountError(pitch_deg=-3.0)),
        "yaw_right": Condition(mount=MountError(yaw_deg=3.0)),
        "sideways": Condition(mount=MountError(y_m=0.2)),
        "patch": Condition(patched=True),
    }
)


#: The name of the weather that a routes file gives its routes; the camera is as it should be.
ROUTE_WEATHER = "route"


def condition_by_name(name: str) -> Condition:
    """Return the condition.

    Raises:
        UserError: If there is no condition of that name.
    """
    return look_up("weather or condition", name, CONDITIONS)
