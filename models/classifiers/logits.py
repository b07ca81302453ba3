"""The logits of a pool of networks on the validation and the test images, as files.

Selection, thresholds, calibration and reports need nothing else of a network: no torch, no images.
A folder holds `targets.npz` (what the images are) and one `ARCHITECTURE-sSEED.npz` for each
network. Logits are stored as float32, as the networks gave them: rounding would change the class of
near ties. Files with float16 logits are read as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError
from bicameral.files import write_bytes_atomic
from models.data.dataset import ImageDataset

_TARGETS = "targets.npz"
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

#: What each column of a file holds: kind of its dtype, and its dimensions.
_TARGET_COLUMNS = {
    "dataset": ("U", 0),
    "dataset_sha256": ("U", 0),
    "labels": ("U", 1),
    "validation_labels": ("i", 1),
    "test_labels": ("i", 1),
}
_NETWORK_COLUMNS = {
    "architecture": ("U", 0),
    "seed": ("i", 0),
    "macs": ("i", 0),
    "parameters": ("i", 0),
    "cpu_us": ("f", 0),
    "validation": ("f", 2),
    "test": ("f", 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLogits:
    """What one trained network answers, before any calibration.

    Attributes:
        architecture: Name of the architecture.
        seed: Seed of the training.
        macs: Multiply-accumulates for one image.
        parameters: Number of weights.
        cpu_us: CPU time for one image in microseconds; 0 if not measured.
        validation: (N, C) float32.
        test: (M, C) float32.
    """

    architecture: str
    seed: int
    macs: int
    parameters: int
    cpu_us: float
    validation: NDArray[np.float32]
    test: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLogits:
    """The logits of all networks of a pool, on the same images.

    Attributes:
        dataset: Name of the data set.
        dataset_sha256: Its fingerprint, which covers the split.
        labels: C class names.
        validation_labels: (N,) int64.
        test_labels: (M,) int64.
        networks: At least one, by architecture and seed.
    """

    dataset: str
    dataset_sha256: str
    labels: tuple[str, ...]
    validation_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]
    networks: tuple[NetworkLogits, ...]


def network_logits_path(folder: Path, architecture: str, seed: int) -> Path:
    """Return where a network's logits are stored.

    Raises:
        DataError: If the architecture's name cannot be part of a file name.
    """
    if not _SAFE_NAME.fullmatch(architecture) or seed < 0:
        raise DataError(
            f"an architecture {architecture!r} with seed {seed} cannot name a file; a name is "
            "letters, digits and _ . + -, and a seed is not negative"
        )
    return folder / f"{architecture}-s{seed}.npz"


def write_network_logits(folder: Path, logits: NetworkLogits) -> None:
    """Write one network's logits, whole or not at all; the same logits give the same bytes.

    Raises:
        DataError: If a logit is not finite.
    """
    path = network_logits_path(folder, logits.architecture, logits.seed)
    for split, values in (("validation", logits.validation), ("test", logits.test)):
        if not np.isfinite(values).all():
            raise DataError(
                f"the {split} logits of {logits.architecture} with seed {logits.seed} hold values "
                "that are not finite; train it again with a lower learning rate"
            )
    columns = {name: np.asarray(getattr(logits, name)) for name in _NETWORK_COLUMNS}
    columns |= {split: columns[split].astype(np.float32) for split in ("validation", "test")}
    _write(path, columns)


def write_targets(folder: Path, dataset: ImageDataset) -> None:
    """Write what the images are; a folder that has it for the same data set stays as it is.

    Raises:
        DataError: If the folder already belongs to another data set or another split.
    """
    path = folder / _TARGETS
    if path.exists():
        present = str(_read(path, _TARGET_COLUMNS)["dataset_sha256"])
        if present != dataset.fingerprint:
            raise DataError(
                f"{folder} holds logits for a data set with sha256 {present}, not for "
                f"{dataset.name!r} with {dataset.fingerprint}; use another folder"
            )
        return
    _write(
        path,
        {
            "dataset": np.array(dataset.name),
            "dataset_sha256": np.array(dataset.fingerprint),
            "labels": np.array(dataset.labels),
            "validation_labels": dataset.validation.labels,
            "test_labels": dataset.test.labels,
        },
    )


def read_pool_logits(folder: Path) -> PoolLogits:
    """Read all networks of a folder, sorted by architecture and seed.

    Raises:
        DataError: If a file is absent or damaged, or a network does not fit the targets.
    """
    targets_path = folder / _TARGETS
    targets = _read(targets_path, _TARGET_COLUMNS)
    classes = len(targets["labels"])
    for split in ("validation", "test"):
        values = targets[f"{split}_labels"]
        if values.size == 0 or values.min() < 0 or values.max() >= classes:
            raise DataError(
                f"{targets_path}: the {split} labels must be at least one, within 0..{classes - 1}"
            )
    paths = sorted(path for path in folder.glob("*.npz") if path.name != _TARGETS)
    if not paths:
        raise DataError(f"there are no logits of networks (ARCHITECTURE-sSEED.npz) in {folder}")
    networks = [_read_network(path, targets) for path in paths]
    return PoolLogits(
        dataset=str(targets["dataset"]),
        dataset_sha256=str(targets["dataset_sha256"]),
        labels=tuple(map(str, targets["labels"])),
        validation_labels=targets["validation_labels"].astype(np.int64),
        test_labels=targets["test_labels"].astype(np.int64),
        networks=tuple(sorted(networks, key=lambda network: (network.architecture, network.seed))),
    )


def read_pools(folders: Sequence[Path]) -> PoolLogits:
    """Read the networks of one or more folders as one pool.

    A network that is in several folders is taken from the first. CPU times of several folders come
    from different runs and cannot be compared, so they count as not measured.

    Raises:
        DataError: As `read_pool_logits`, or if the folders are of different data.
    """
    pools = [read_pool_logits(folder) for folder in folders]
    if len(pools) == 1:
        return pools[0]
    found: dict[tuple[str, int], NetworkLogits] = {}
    for folder, pool in zip(folders, pools, strict=True):
        if pool.dataset_sha256 != pools[0].dataset_sha256:
            raise DataError(
                f"{folder} holds logits for a data set with sha256 {pool.dataset_sha256}, "
                f"{folders[0]} for {pools[0].dataset_sha256}; give folders of the same data and "
                "split"
            )
        for network in pool.networks:
            found.setdefault((network.architecture, network.seed), replace(network, cpu_us=0.0))
    return replace(pools[0], networks=tuple(found[key] for key in sorted(found)))


def _read_network(path: Path, targets: Mapping[str, NDArray[Any]]) -> NetworkLogits:
    columns = _read(path, _NETWORK_COLUMNS)
    architecture, seed = str(columns["architecture"]), int(columns["seed"])
    if path != network_logits_path(path.parent, architecture, seed):
        raise DataError(f"{path} holds the logits of {architecture} with seed {seed}; rename it")
    for split in ("validation", "test"):
        expected = (len(targets[f"{split}_labels"]), len(targets["labels"]))
        if columns[split].shape != expected:
            raise DataError(
                f"{path}: the {split} logits have shape {columns[split].shape}, the targets "
                f"beside it say {expected} (images, classes); it belongs to other data"
            )
        if not np.isfinite(columns[split]).all():
            raise DataError(f"{path}: the {split} logits hold values that are not finite")
    return NetworkLogits(
        architecture=architecture,
        seed=seed,
        macs=int(columns["macs"]),
        parameters=int(columns["parameters"]),
        cpu_us=float(columns["cpu_us"]),
        validation=columns["validation"].astype(np.float32),
        test=columns["test"].astype(np.float32),
    )


def _write(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    archive = io.BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **columns)
    write_bytes_atomic(path, archive.getvalue())


def _read(path: Path, expected: Mapping[str, tuple[str, int]]) -> dict[str, NDArray[Any]]:
    """Read an archive of exactly these columns, each with its kind of dtype and dimensions."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            columns = {name: np.asarray(archive[name]) for name in archive.files}
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged archive
        raise DataError(f"cannot read the logits file {path}: {error!r}; write it again") from error
    found = {name: (column.dtype.kind, column.ndim) for name, column in columns.items()}
    if found != dict(expected):
        raise DataError(
            f"{path} holds the columns {found} (dtype kind, dimensions), expected {dict(expected)}"
        )
    return columns
