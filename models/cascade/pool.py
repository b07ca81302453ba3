"""A pool of networks as selection and evaluation see it: calibrated probabilities of one split.

Two types keep the splits apart. Whatever chooses (a temperature, a threshold, a pair) takes a
`ValidationPool`; a `HeldOutPool` holds the test images and is made after everything is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bicameral.errors import DataError, unknown_name
from edge.probabilities import softmax
from models.calibration import fit_temperature
from models.classifiers.logits import NetworkLogits, PoolLogits

#: Temperature of a network: by architecture and seed.
Temperatures = Mapping[tuple[str, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedNetwork:
    """One architecture's answers on one split, for all of its seeds.

    Attributes:
        architecture: Name of the architecture.
        macs: Multiply-accumulates for one image.
        parameters: Number of weights.
        cpu_us: CPU time for one image in microseconds, mean over the seeds; 0 if not measured.
        seeds: The S seeds, ascending.
        temperatures: S temperatures, in the order of the seeds.
        probabilities: (S, N, C) float32, the type that a classifier session hands out.
    """

    architecture: str
    macs: int
    parameters: int
    cpu_us: float
    seeds: tuple[int, ...]
    temperatures: tuple[float, ...]
    probabilities: NDArray[np.float32]

    def of_seed(self, seed: int) -> NDArray[np.float32]:
        """Return the probabilities (N, C) of one seed."""
        return np.asarray(self.probabilities[self.seeds.index(seed)])

    def correct(self, labels: NDArray[np.int64], seeds: Sequence[int]) -> NDArray[np.bool_]:
        """Return which images each of the seeds gets right, (len(seeds), N)."""
        return np.stack([self.of_seed(seed).argmax(axis=1) == labels for seed in seeds])


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedPool:
    """All networks on one split.

    Attributes:
        labels: (N,) true classes.
        networks: Ascending by MACs.
    """

    labels: NDArray[np.int64]
    networks: tuple[CalibratedNetwork, ...]

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the architectures, ascending by MACs."""
        return tuple(network.architecture for network in self.networks)

    def network(self, architecture: str) -> CalibratedNetwork:
        """Return a network.

        Raises:
            UserError: If the pool does not hold it.
        """
        for network in self.networks:
            if network.architecture == architecture:
                return network
        raise unknown_name("architecture of the pool", architecture, self.architectures)

    def answers(self, architectures: Sequence[str], seed: int) -> list[NDArray[np.float32]]:
        """Return the probabilities (N, C) of one seed of several networks."""
        return [self.network(name).of_seed(seed) for name in architectures]

    def common_seeds(self, architectures: Sequence[str]) -> tuple[int, ...]:
        """Return the seeds that all of these architectures were trained with, ascending.

        Raises:
            DataError: If there is none.
        """
        seeds = {name: set(self.network(name).seeds) for name in architectures}
        common = set.intersection(*seeds.values())
        if not common:
            raise DataError(
                f"no seed is common to {', '.join(architectures)} (they have "
                f"{[sorted(of) for of in seeds.values()]}); train them with one seed in common"
            )
        return tuple(sorted(common))


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationPool(CalibratedPool):
    """The validation images: what temperatures, thresholds and pairs are chosen on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPool(CalibratedPool):
    """The test images: what a finished choice is judged on."""


def fit_temperatures(pool: PoolLogits) -> dict[tuple[str, int], float]:
    """Return the temperature of every network, fitted on its validation logits."""
    return {
        (network.architecture, network.seed): fit_temperature(
            network.validation, pool.validation_labels
        )
        for network in pool.networks
    }


def unit_temperatures(pool: PoolLogits) -> dict[tuple[str, int], float]:
    """Return temperature 1 for every network: the uncalibrated softmax."""
    return {(network.architecture, network.seed): 1.0 for network in pool.networks}


def validation_pool(pool: PoolLogits, temperatures: Temperatures) -> ValidationPool:
    """Return the calibrated answers on the validation images.

    Raises:
        DataError: If two networks of one architecture disagree about their size.
    """
    networks = _calibrated(pool, temperatures, "validation")
    return ValidationPool(labels=pool.validation_labels, networks=networks)


def held_out_pool(pool: PoolLogits, temperatures: Temperatures) -> HeldOutPool:
    """Return the calibrated answers on the test images.

    Raises:
        DataError: If two networks of one architecture disagree about their size.
    """
    networks = _calibrated(pool, temperatures, "test")
    return HeldOutPool(labels=pool.test_labels, networks=networks)


def _calibrated(
    pool: PoolLogits, temperatures: Temperatures, split: Literal["validation", "test"]
) -> tuple[CalibratedNetwork, ...]:
    members: dict[str, list[NetworkLogits]] = {}
    for network in sorted(pool.networks, key=lambda network: network.seed):
        members.setdefault(network.architecture, []).append(network)
    networks = []
    for architecture, of_seeds in members.items():
        sizes = {(network.macs, network.parameters) for network in of_seeds}
        if len(sizes) > 1:
            raise DataError(
                f"the seeds of {architecture!r} differ in (MACs, parameters): {sorted(sizes)}; "
                "they are different networks, export them again under different names"
            )
        scaled = [temperatures[architecture, network.seed] for network in of_seeds]
        networks.append(
            CalibratedNetwork(
                architecture=architecture,
                macs=of_seeds[0].macs,
                parameters=of_seeds[0].parameters,
                cpu_us=float(np.mean([network.cpu_us for network in of_seeds])),
                seeds=tuple(network.seed for network in of_seeds),
                temperatures=tuple(scaled),
                probabilities=np.stack(
                    [
                        softmax(getattr(network, split), temperature).astype(np.float32)
                        for network, temperature in zip(of_seeds, scaled, strict=True)
                    ]
                ),
            )
        )
    return tuple(sorted(networks, key=lambda network: (network.macs, network.architecture)))
