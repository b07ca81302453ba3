"""The chosen cascade as files: its sidecar, its two networks and the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bicameral.errors import DataError
from bicameral.statistics import Estimate
from edge.cascade import CascadePolicy
from edge.loading import load_classifier, member_sha256
from edge.sidecar import (
    SUFFIX,
    Calibration,
    CascadeMember,
    CascadeMemory,
    CascadeSpec,
    Claim,
    Cost,
    OutputSpec,
    Sidecar,
    read_sidecar,
    write_sidecar,
)
from models.calibration import expected_calibration_error
from models.cascade.operating_points import run_cascade
from models.cascade.pool import fit_temperatures, validation_pool
from models.cascade.results import CascadeEvaluation, SystemRecord
from models.classifiers.export import copy_classifier
from models.classifiers.logits import PoolLogits

_LIMITS = (
    "Knows the classes of its data set only and answers with one of them for any picture; the "
    "share of pictures that B sees, and with it the cost, is that of pictures like the training's."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeExport:
    """What to write where.

    Attributes:
        networks: Folder with ``ARCHITECTURE-sSEED/ARCHITECTURE-sSEED.onnx`` and sidecars.
        output: Folder for the files.
        prefix: Names are ``PREFIX_cascade`` and ``PREFIX_ARCHITECTURE``.
        memory: Result memory in front of it.
        command: Command line, for the record.
    """

    networks: Path
    output: Path
    prefix: str
    memory: CascadeMemory
    command: str


def export_cascade(evaluation: CascadeEvaluation, pool: PoolLogits, export: CascadeExport) -> Path:
    """Write the cascade that ships, its parts and the reference.

    Args:
        evaluation: Names the networks, the policy and the measured figures.
        pool: The logits that it was made from.
        export: What to write where.

    Returns:
        The cascade's sidecar; it loads.

    Raises:
        DataError: If a network is missing or is not the one that was evaluated.
    """
    system = evaluation.shipped_system
    assert system.b is not None  # noqa: S101 - a chosen system is a cascade
    seed = evaluation.detail.shipped_seed
    copied = {
        architecture: _copy_network(architecture, seed, evaluation, export)
        for architecture in dict.fromkeys((system.a, system.b, evaluation.reference))
    }
    sidecar = _describe(evaluation, pool, export, copied[system.a], copied[system.b])
    path = export.output / (sidecar.name + SUFFIX)
    write_sidecar(path, sidecar)
    load_classifier(path, memory="none").close()
    return path


def cascade_sidecar(
    member: Sidecar, *, name: str, cascade: CascadeSpec, ece: tuple[float, int], cost: Cost
) -> Sidecar:
    """Describe a model that answers by a gate, as far as it is not what its first member is.

    Args:
        member: The first member, whose training, claims and limits stay.
        name: Of the model.
        cascade: Its members and policy.
        ece: Calibration error of its answers, and the number of validation images it is of.
        cost: Expected, of an image.
    """
    outputs = OutputSpec(
        name="probabilities", meaning="probabilities", shape=(-1, len(member.labels))
    )
    calibration = Calibration(temperature=1.0, split="validation", n=ece[1], ece=ece[0])
    return member.model_copy(
        update={
            "kind": "cascade",
            "name": name,
            "files": (),
            "stages": (),
            "outputs": (outputs,),
            "calibration": calibration,
            "cost": cost,
            "cascade": cascade,
        }
    )


def claim_on_test(
    metric: str, value: float, interval: Estimate | None, counts: tuple[int, int], command: str
) -> Claim:
    """Return what is claimed of test images, rounded.

    Args:
        metric: What was measured.
        value: Its value.
        interval: Of the value; None if there is none.
        counts: Images and seeds.
        command: Command line that measured it.
    """
    ends = None
    if interval is not None and interval.low is not None and interval.high is not None:
        ends = (round(interval.low, 4), round(interval.high, 4))
    return Claim(
        metric=metric,
        value=round(value, 4),
        ci95=ends,
        n=counts[0],
        seeds=counts[1],
        split="test",
        command=command,
    )


def _copy_network(
    architecture: str, seed: int, evaluation: CascadeEvaluation, export: CascadeExport
) -> Sidecar:
    """Copy one network under its new name, with the accuracy over all of its seeds as a claim."""
    source = f"{architecture}-s{seed}"
    found = export.networks / source / f"{source}.onnx"
    sidecar = read_sidecar(found)
    if sidecar.training.data.sha256 != evaluation.dataset_sha256:
        raise DataError(
            f"{found} was trained on data with sha256 {sidecar.training.data.sha256}, the "
            f"evaluation is of {evaluation.dataset_sha256}; train into another folder"
        )
    name = f"{export.prefix}_{architecture}"
    copy = copy_classifier(found, export.output, name)
    record = next(net for net in evaluation.networks if net.architecture == architecture)
    claims = list(copy.claims)
    if len(record.test_accuracy.seeds) > 1:
        accuracy, counts = (
            record.test_accuracy,
            (evaluation.n_test, len(record.test_accuracy.seeds)),
        )
        claims.append(
            claim_on_test("accuracy, mean over seeds", accuracy.mean, None, counts, export.command)
        )
    copy = copy.model_copy(update={"claims": tuple(claims)})
    write_sidecar(export.output / (name + SUFFIX), copy)
    return copy


def _describe(
    evaluation: CascadeEvaluation, pool: PoolLogits, export: CascadeExport, a: Sidecar, b: Sidecar
) -> Sidecar:
    system = evaluation.shipped_system
    policy = _policy(system, evaluation.detail.shipped_seed)
    usage, ece = _on_validation(evaluation, pool, policy)
    return cascade_sidecar(
        a,
        name=f"{export.prefix}_cascade",
        cascade=CascadeSpec(
            a=CascadeMember(name=a.name, sha256=member_sha256(a)),
            b=CascadeMember(name=b.name, sha256=member_sha256(b)),
            score=policy.score,
            threshold=policy.threshold,
            combine=policy.combine,
            memory=export.memory,
        ),
        ece=(ece, evaluation.n_validation),
        cost=Cost(
            macs=round(a.cost.macs + usage * b.cost.macs),
            parameters=a.cost.parameters + b.cost.parameters,
            cpu_us=round(a.cost.cpu_us + usage * b.cost.cpu_us, 1),
            host=a.cost.host,
        ),
    ).model_copy(
        update={
            "training": a.training.model_copy(update={"command": export.command}),
            "claims": _claims(evaluation, system, export.command),
            "limits": _LIMITS,
        }
    )


def _policy(system: SystemRecord, seed: int) -> CascadePolicy:
    assert system.threshold is not None  # noqa: S101 - a cascade has a policy
    assert system.score is not None  # noqa: S101
    assert system.combine is not None  # noqa: S101
    threshold = system.threshold.of_seed(seed)
    return CascadePolicy(score=system.score, threshold=threshold, combine=system.combine)


def _on_validation(
    evaluation: CascadeEvaluation, pool: PoolLogits, policy: CascadePolicy
) -> tuple[float, float]:
    """Return the share of the validation images that B sees, and the calibration error on them."""
    system, seed = evaluation.shipped_system, evaluation.detail.shipped_seed
    calibrated = validation_pool(pool, fit_temperatures(pool))
    answers, asked = run_cascade(
        calibrated.network(system.a).of_seed(seed),
        calibrated.network(str(system.b)).of_seed(seed),
        policy,
    )
    ece = expected_calibration_error(answers, pool.validation_labels)
    return float(np.mean(asked)), ece


def _claims(evaluation: CascadeEvaluation, system: SystemRecord, command: str) -> tuple[Claim, ...]:
    choice = evaluation.shipped
    part = next(part for part in evaluation.detail.parts if part.part == "cascade")
    of_all, of_one = (evaluation.n_test, len(system.test.accuracy.seeds)), (evaluation.n_test, 1)
    accuracy, usage = system.test.accuracy.mean, system.test.usage.mean
    claims = [
        claim_on_test("accuracy, mean over seeds", accuracy, choice.test_accuracy, of_all, command),
        claim_on_test("share of images that B sees", usage, None, of_all, command),
        claim_on_test("ece", part.ece_after.values[0], None, of_one, command),
    ]
    if choice.shipped_seed_accuracy is not None:
        shipped = choice.shipped_seed_accuracy
        claims.insert(0, claim_on_test("accuracy", shipped.value or 0.0, shipped, of_one, command))
    return tuple(claim for claim in claims if math.isfinite(claim.value))
