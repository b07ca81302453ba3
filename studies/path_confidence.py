"""Which number knows that the path is wrong: the candidates for a confidence, frame by frame.

Two path networks are asked about recorded frames, without the lane intent. Wrong is what network
A's regression head puts more than 0.5 m beside the route 10 m ahead. The area under the ROC curve
of a candidate is the chance that it is larger on a wrong frame than on a right one: 0.5 knows
nothing.

``DRIVES`` in the environment names folders of `bicameral collect`, separated by colons; frames
that A was trained on are left out. ``PATH_MODELS`` names A and B likewise; the shipped ones if not
given. Frames of clear days are asked about again as a camera turned by 3 degrees, moved by 0.2 m,
or covered in part would show them: the pictures are moved as in training, nothing is driven anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bicameral.errors import ConfigError
from bicameral.statistics import Estimate, clustered_auroc, clustered_mean
from bicameral.types import AGENT_CAMERA
from edge.path_model import PathModel, PathOutput
from edge.preprocessing import canonical_from_picture
from edge.shipped import resolve_model, shipped_models
from models.caril.askew_camera import Askew, homographies
from models.caril.dataset import Frames, find_episodes, load_frames
from models.caril.evaluation import predict_frames
from models.caril.path_metrics import WIDEST
from models.networks.path_classes import (
    DECIDING_BINS,
    OFFSET_BINS,
    PATH_DISTANCES_M,
    class_labels,
    path_offsets,
)
from models.networks.steering_classes import NETWORK_IMAGE
from sim.evaluation.conditions import condition_by_name
from studies.measurements import Measured, print_measurements, single, write_measurements
from studies.study import Study

#: An error beyond this makes a frame wrong, metres.
WRONG_M = 0.5
#: What the area under the curve must reach abroad for the shipped candidate.
WANTED = 0.75

#: The candidate that ships, and all of them.
SHIPPED = "class std"
CANDIDATES = ("1 - p_max", SHIPPED, "Laplace std", "path - class", "A - B", "change", "fused std")

#: Conditions in which frames of clear days are shown again.
CAMERA_FAULTS = ("pitch_up", "pitch_down", "yaw_right", "sideways", "patch")

#: Where the network was trained, and where it was not.
HOME, ABROAD, EVERY = "home", "abroad", "all"

#: Place of 10 m among the distances, and among those with classes.
AT = DECIDING_BINS.column
CLASS_AT = OFFSET_BINS.index(DECIDING_BINS)

#: What is printed of the errors.
ERRORS = (
    *(f"error {one:.0f} m" for one in PATH_DISTANCES_M),
    f"error {PATH_DISTANCES_M[AT]:.0f} m in junctions",
    "class right 10 m",
    f"rms error / {SHIPPED}",
    "rms error / Laplace std",
)

#: Ticks between two frames that follow each other.
_TICKS_APART = 2
_QUICK_EPISODES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Frames, and what A answered; N rows each.

    Attributes:
        town: Names.
        home: A was trained in that town.
        condition: Weather, or what was wrong with the camera.
        cluster: Name of the episode.
        in_junction: The nearest point of the route lies in a junction.
        error_m: (N, 5) offset minus truth.
        right_class: (N, 3) the most probable class is the true one.
        std_m: (N, 2) calibrated standard deviations 10 m ahead: classes, regression head.
        candidates: (N, 7) in the order of `CANDIDATES`, larger where the answer is to be doubted.
    """

    town: NDArray[np.str_]
    home: NDArray[np.bool_]
    condition: NDArray[np.str_]
    cluster: NDArray[np.str_]
    in_junction: NDArray[np.bool_]
    error_m: NDArray[np.float64]
    right_class: NDArray[np.bool_]
    std_m: NDArray[np.float64]
    candidates: NDArray[np.float64]

    def select(self, keep: NDArray[np.bool_]) -> Scored:
        """Return only the frames where `keep` (N,) is True."""
        return Scored(**{one.name: getattr(self, one.name)[keep] for one in fields(self)})

    @staticmethod
    def join(parts: list[Scored]) -> Scored:
        """Return all frames of several."""
        return Scored(
            **{
                one.name: np.concatenate([getattr(part, one.name) for part in parts])
                for one in fields(Scored)
            }
        )


def run(folder: Path, quick: bool) -> int:
    """Ask both networks about all frames, and write and print how well each candidate knows."""
    drives = [Path(one) for one in os.environ.get("DRIVES", "").split(os.pathsep) if one]
    models = os.environ.get("PATH_MODELS", "path_a:path_b").split(os.pathsep)
    lacking = not drives or not set(models) <= {*shipped_models(), *filter(os.path.exists, models)}
    if quick and lacking:
        print(f"nothing to ask about; needs {STUDY.needs}")
        return 0
    if lacking or len(models) != 2:
        raise ConfigError(f"DRIVES is {drives} and PATH_MODELS {models}; needs {STUDY.needs}")
    a, b = (PathModel.load(resolve_model(one)) for one in models)
    parts: list[Scored] = []
    for frames in episodes_of(drives, a, _QUICK_EPISODES if quick else None):
        parts += score_episode(frames, a, b)
    scored = Scored.join(parts)
    measured = measure(scored, a.name)
    write_measurements(folder / "path_confidence.csv", measured)
    for quantities in (ERRORS, ("wrong", *(f"AUROC {one}" for one in CANDIDATES))):
        print_measurements(measured, quantities)
    found = measured.get((a.name, f"{ABROAD} / {EVERY}", f"AUROC {SHIPPED}"))
    return int(found is None or (found.value or 0.0) < WANTED)


def episodes_of(drives: list[Path], network: PathModel, limit: int | None) -> Iterator[Frames]:
    """Yield the frames of every episode that a network was not trained on.

    Args:
        drives: Folders of collected data.
        network: What is to be judged.
        limit: At most so many episodes of a town and weather; None: all.
    """
    for folder in drives:
        seen: dict[tuple[str, str], int] = {}
        for split in sorted({episode.split for episode in find_episodes(folder)}):
            frames = load_frames(folder, split, spec=network.image)
            frames.require_path()
            for number, episode in enumerate(frames.episodes):
                if split == "train" and episode.town in network.agent.towns:
                    continue
                place = episode.town, episode.weather
                seen[place] = seen.get(place, 0) + 1
                if limit is None or seen[place] <= limit:
                    yield frames.select(frames.episode == number)


def score_episode(frames: Frames, a: PathModel, b: PathModel) -> list[Scored]:
    """Ask two networks about one episode: as it was, and on a clear day with a faulty camera."""
    episode = frames.episodes[int(frames.episode[0])]
    with np.load(episode.folder / "labels.npz", allow_pickle=False) as labels:
        apart, same = np.diff(labels["frame"]), np.diff(labels["route"]) == 0
    follows = np.concatenate([[False], (apart == _TICKS_APART) & same])
    images = frames.gather(np.arange(len(frames)))
    cluster = f"{episode.town}/{episode.episode_id}"
    found = []
    for condition in (episode.weather, *(CAMERA_FAULTS if episode.weather == "clear" else ())):
        shown = images if condition == episode.weather else faulty(images, condition, cluster)
        answers = [predict_frames(one, frames, shown) for one in (a, b)]
        truth_m = path_offsets(frames.ahead_m)
        count = len(frames)
        whole = Scored(
            town=np.full(count, episode.town),
            home=np.full(count, episode.town in a.agent.towns),
            condition=np.full(count, condition),
            cluster=np.full(count, cluster),
            in_junction=frames.in_junction,
            error_m=answers[0].offsets_m - truth_m,
            right_class=answers[0].probabilities.argmax(axis=2) == class_labels(truth_m),
            std_m=np.stack([answers[0].spread_m[:, AT], answers[0].offsets_std_m[:, AT]], axis=1),
            candidates=candidates(*answers),
        )
        # What has no frame before it cannot have changed: left out for all candidates alike.
        found.append(whole.select(follows))
    return found


def candidates(a: PathOutput, b: PathOutput) -> NDArray[np.float64]:
    """Return every candidate (N, 7) of frames in the order in which they were taken."""
    offset_m, spread_m = a.offsets_m[:, AT], a.spread_m[:, AT]
    apart_m = np.abs(offset_m - b.offsets_m[:, AT])
    return np.stack(
        [
            1.0 - a.probabilities[:, CLASS_AT].max(axis=1),
            spread_m,
            a.offsets_std_m[:, AT],
            np.abs(offset_m - a.class_mean_m[:, CLASS_AT]),
            apart_m,
            np.abs(np.diff(offset_m, prepend=offset_m[0])),
            np.sqrt((spread_m**2 + b.spread_m[:, AT] ** 2) / 2.0 + apart_m**2 / 4.0),
        ],
        axis=1,
    )


def faulty(images: NDArray[np.uint8], condition: str, cluster: str) -> NDArray[np.uint8]:
    """Return network pictures (N, 64, 160, 3) as a faulty camera would have given them.

    Args:
        images: Of a camera as it should be.
        condition: Name of one of `sim.evaluation.conditions.CONDITIONS`.
        cluster: Name of the episode, which decides where a patch lies.
    """
    fault = condition_by_name(condition).draw_fault(sum(cluster.encode()))
    if fault.patch is not None:
        # The patch is told by the whole picture, of which the network sees a part.
        blank = np.full((AGENT_CAMERA.height, AGENT_CAMERA.width, 3), 255, np.uint8)
        patch = canonical_from_picture(fault.patch.cover(blank), NETWORK_IMAGE)
        return np.where(patch < 255, patch, images)
    mount = fault.mount
    askew = Askew(
        pitch_deg=np.array([mount.pitch_deg]),
        yaw_deg=np.array([mount.yaw_deg]),
        roll_deg=np.zeros(1),
        right_m=np.array([mount.y_m]),
        up_m=np.zeros(1),
    )
    matrix = homographies(askew, AGENT_CAMERA, NETWORK_IMAGE)[0]
    size = (NETWORK_IMAGE.width, NETWORK_IMAGE.height)
    return np.stack(
        [cv2.warpPerspective(one, matrix, size, borderMode=cv2.BORDER_REPLICATE) for one in images]
    ).astype(np.uint8)


def groups_of(scored: Scored) -> Iterator[tuple[str, Scored]]:
    """Yield frames at home, abroad and in each town, in each condition and in all."""
    places = {HOME: scored.home, ABROAD: ~scored.home}
    places |= {town: scored.town == town for town in np.unique(scored.town).tolist()}
    conditions = {EVERY: np.ones(len(scored.home), bool)}
    conditions |= {one: scored.condition == one for one in np.unique(scored.condition).tolist()}
    for place, there in places.items():
        for condition, then in conditions.items():
            if (there & then).any():
                yield f"{place} / {condition}", scored.select(there & then)


def measure(scored: Scored, subject: str) -> Measured:
    """Return errors, calibration and areas under the curve of every group."""
    measured: Measured = {}
    for condition, group in groups_of(scored):
        found = _errors(group) | _areas(group)
        measured |= {(subject, condition, name): one for name, one in found.items()}
    return measured


def _errors(group: Scored) -> dict[str, Estimate]:
    episodes = len(np.unique(group.cluster))
    found = {"episodes": single(episodes, n=len(group.cluster))}
    absolute_m = np.abs(group.error_m)
    inside = group.in_junction
    for column, distance_m in enumerate(PATH_DISTANCES_M):
        for where, keep in (("", inside | True), (" in junctions", inside), (" else", ~inside)):
            name = f"error {distance_m:.0f} m{where}"
            found[name] = clustered_mean(
                absolute_m[keep, column], group.cluster[keep], "m", seed=0, name=name
            )
    for column, bins in enumerate(OFFSET_BINS):
        name = f"class right {bins.distance_m:.0f} m"
        right = group.right_class[:, column].astype(np.float64)
        found[name] = clustered_mean(right, group.cluster, "1", seed=0, name=name)
    squared = np.minimum((group.error_m[:, AT, None] / group.std_m) ** 2, WIDEST)
    for column, name in enumerate((SHIPPED, "Laplace std")):
        found[f"rms error / {name}"] = single(np.sqrt(squared[:, column].mean()), n=len(squared))
    return found


def _areas(group: Scored) -> dict[str, Estimate]:
    wrong = np.abs(group.error_m[:, AT]) > WRONG_M
    found = {
        "wrong": clustered_mean(wrong.astype(np.float64), group.cluster, "1", seed=0, name="wrong")
    }
    for column, name in enumerate(CANDIDATES):
        found[f"AUROC {name}"] = clustered_auroc(
            group.candidates[:, column], wrong, group.cluster, seed=0, name=name
        )
    return found


STUDY = Study(
    claim=f"In towns that it was not trained in, the {SHIPPED} of a path network has an area under "
    f"the ROC curve of at least {WANTED} for a path more than {WRONG_M} m off 10 m ahead.",
    setting="Recorded frames, all conditions together; intervals by bootstrap over episodes; no "
    "randomness but in these; about 4 ms of CPU time a frame.",
    run=run,
    needs="DRIVES: recorded driving with the path ahead; PATH_MODELS: two path networks, else the "
    "shipped path_a and path_b",
)
