"""The chosen cascade as files: its sidecar, its networks and the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bicameral.errors import DataError
from bicameral.statistics import Estimate
from edge.cascade import CascadePolicy
from edge.cascade_sidecar import CascadeMemory, CascadeSpec, CascadeStage
from edge.loading import load_classifier, member_sha256
from edge.share_alarm import share_interval
from edge.sidecar import (
    CASCADE_SCHEMA,
    SUFFIX,
    Calibration,
    Claim,
    Cost,
    OutputSpec,
    Sidecar,
    read_sidecar,
    write_sidecar,
)
from models.calibration import expected_calibration_error
from models.cascade.candidates import COMBINATION, SCORE
from models.cascade.operating_points import run_stages
from models.cascade.pool import fit_temperatures, validation_pool
from models.cascade.results import CascadeEvaluation, SystemRecord
from models.classifiers.export import copy_classifier
from models.classifiers.logits import PoolLogits

_LIMITS = (
    "Knows the classes of its data set only and answers with one of them for any picture; the "
    "shares of pictures that further networks see, and with them the cost, are those of pictures "
    "like the training's."
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
    system, seed = evaluation.shipped_system, evaluation.detail.shipped_seed
    networks = [_copy_network(name, evaluation, export) for name in system.networks]
    if evaluation.reference not in system.networks:
        _copy_network(evaluation.reference, evaluation, export)
    thresholds = [one.of_seed(seed) for one in system.thresholds]
    shares = [1.0, *(one.of_seed(seed) for one in system.validation.usage)]
    ran = list(zip(networks, shares, strict=True))
    sidecar = describe_gated(
        networks[0],
        name=f"{export.prefix}_cascade",
        cascade=CascadeSpec(
            stages=tuple(
                CascadeStage(
                    name=network.name,
                    sha256=member_sha256(network),
                    threshold=threshold,
                    share=share,
                    share_interval=None
                    if place == 0
                    else share_interval(share, evaluation.n_validation),
                )
                for place, ((network, share), threshold) in enumerate(
                    zip(ran, (*thresholds, None), strict=True)
                )
            ),
            score=system.score or SCORE,
            combine=system.combine or COMBINATION,
            memory=export.memory,
        ),
        ece=(_validation_ece(system, seed, pool), evaluation.n_validation),
        cost=Cost(
            macs=round(sum(share * one.cost.macs for one, share in ran)),
            parameters=sum(one.cost.parameters for one in networks),
            cpu_us=round(sum(share * one.cost.cpu_us for one, share in ran), 1),
            host=networks[0].cost.host,
        ),
        training=networks[0].training.model_copy(update={"command": export.command}),
        claims=_claims(evaluation, export.command),
        limits=_LIMITS,
    )
    path = export.output / (sidecar.name + SUFFIX)
    write_sidecar(path, sidecar)
    load_classifier(path, memory="none").close()
    return path


def describe_gated(
    member: Sidecar,
    cascade: CascadeSpec,
    *,
    ece: tuple[float, int],
    **others: object,
) -> Sidecar:
    """Describe a model that answers by a gate, as far as it is not what its first member is.

    Args:
        member: The first member, whose training stays.
        cascade: Its members and policy.
        ece: Calibration error of its answers, and the number of validation images it is of.
        others: Further fields that differ: name, cost, claims, limits.
    """
    outputs = OutputSpec(
        name="probabilities", meaning="probabilities", shape=(-1, len(member.labels))
    )
    return member.model_copy(
        update={
            "schema_version": CASCADE_SCHEMA,
            "kind": "cascade",
            "files": (),
            "stages": (),
            "outputs": (outputs,),
            "calibration": Calibration(temperature=1.0, split="validation", n=ece[1], ece=ece[0]),
            "cascade": cascade,
            **others,
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
    architecture: str, evaluation: CascadeEvaluation, export: CascadeExport
) -> Sidecar:
    """Copy one network under its new name, with the accuracy over all of its seeds as a claim."""
    source = f"{architecture}-s{evaluation.detail.shipped_seed}"
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
    accuracy = record.test_accuracy
    if len(accuracy.seeds) > 1:
        counts = (evaluation.n_test, len(accuracy.seeds))
        claim = claim_on_test(
            "accuracy, mean over seeds", accuracy.mean, None, counts, export.command
        )
        copy = copy.model_copy(update={"claims": (*copy.claims, claim)})
    write_sidecar(export.output / (name + SUFFIX), copy)
    return copy


def _validation_ece(system: SystemRecord, seed: int, pool: PoolLogits) -> float:
    """Return the calibration error of the shipped seed's answers on the validation images."""
    calibrated = validation_pool(pool, fit_temperatures(pool))
    answers = calibrated.answers(system.networks, seed)
    policy = CascadePolicy(
        score=system.score or SCORE,
        thresholds=tuple(one.of_seed(seed) for one in system.thresholds),
        combine=system.combine or COMBINATION,
    )
    return expected_calibration_error(run_stages(answers, policy)[0], calibrated.labels)


def _claims(evaluation: CascadeEvaluation, command: str) -> tuple[Claim, ...]:
    choice, test = evaluation.shipped, evaluation.shipped_system.test
    part = next(part for part in evaluation.detail.parts if part.part == "cascade")
    of_one, of_all = (evaluation.n_test, 1), (evaluation.n_test, len(test.accuracy.seeds))
    shipped = choice.shipped_seed_accuracy
    assert shipped is not None  # noqa: S101 - the choice that ships was judged
    figures = (
        ("accuracy", shipped.value or 0.0, shipped, of_one),
        ("accuracy, mean over seeds", test.accuracy.mean, choice.test_accuracy, of_all),
        *(
            (f"share of images that {letter} sees", one.mean, None, of_all)
            for letter, one in zip("BC", test.usage, strict=False)
        ),
        ("ece", part.ece_after.values[0], None, of_one),
    )
    return tuple(claim_on_test(*figure, command) for figure in figures)
