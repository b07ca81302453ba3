"""The pool keeps the splits apart and the seeds together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bicameral.errors import DataError, UserError
from models.calibration import expected_calibration_error
from models.cascade.pool import (
    ValidationPool,
    fit_temperatures,
    held_out_pool,
    unit_temperatures,
    validation_pool,
)
from models.classifiers.logits import PoolLogits

pytestmark = pytest.mark.unit


def test_networks_ascend_by_cost_and_hold_all_their_seeds(validation: ValidationPool) -> None:
    assert validation.architectures == ("tiny", "small", "middle", "large", "huge")
    assert all(network.seeds == (0, 1) for network in validation.networks)
    assert validation.network("tiny").probabilities.shape == (2, 400, 4)
    assert validation.network("tiny").probabilities.dtype == np.float32


def test_temperatures_come_from_the_validation_images_alone(pool: PoolLogits) -> None:
    blind = replace(
        pool,
        test_labels=np.zeros_like(pool.test_labels),
        networks=tuple(replace(n, test=np.zeros_like(n.test)) for n in pool.networks),
    )
    assert fit_temperatures(blind) == fit_temperatures(pool)


def test_temperatures_mend_the_calibration_of_test_images(pool: PoolLogits) -> None:
    raw, mended = (
        held_out_pool(pool, temperatures(pool)).network("tiny").of_seed(0)
        for temperatures in (unit_temperatures, fit_temperatures)
    )
    errors = [expected_calibration_error(p, pool.test_labels) for p in (raw, mended)]
    assert errors[1] < errors[0] / 2
    assert (raw.argmax(axis=1) == mended.argmax(axis=1)).all()


def test_an_unknown_architecture_is_named_with_the_known_ones(validation: ValidationPool) -> None:
    with pytest.raises(UserError, match=r"'tny'; known: .*Did you mean 'tiny'"):
        validation.network("tny")


def test_networks_without_a_common_seed_are_refused(pool: PoolLogits) -> None:
    parted = replace(
        pool,
        networks=tuple(n for n in pool.networks if (n.architecture == "tiny") == (n.seed == 0)),
    )
    split = validation_pool(parted, unit_temperatures(parted))
    assert split.common_seeds(("small", "large")) == (1,)
    with pytest.raises(DataError, match="no seed is common to tiny, small"):
        split.common_seeds(("tiny", "small"))


def test_seeds_of_one_name_and_two_sizes_are_refused(pool: PoolLogits) -> None:
    first, *others = pool.networks
    odd = replace(pool, networks=(replace(first, macs=first.macs + 1), *others))
    with pytest.raises(DataError, match="different networks"):
        validation_pool(odd, unit_temperatures(odd))
