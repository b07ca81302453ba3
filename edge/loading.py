"""From a name or a path to a classifier: one network, or a cascade with its members and memory."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic_core import to_json

from bicameral.errors import ConfigError, DataError
from bicameral.protocols import ClassifierSession, ResultMemory
from edge.cascade import CascadeClassifier, CascadePolicy, same_canonical_image
from edge.cascade_sidecar import CascadeSpec, CascadeStage
from edge.classifier import FeatureClassifier, OnnxClassifier
from edge.learning.dual_memory import (
    DualMemoryClassifier,
    OnlineDualMemoryClassifier,
    network_sidecar,
)
from edge.learning.state import read_state
from edge.masked_classifier import MaskedClassifier
from edge.session import PLAIN_RUN, OnnxSession, RunOptions, open_session
from edge.shipped import resolve_model
from edge.sidecar import (
    SUFFIX,
    Sidecar,
    read_described_bytes,
    read_model_bytes,
    read_sidecar,
    sidecar_path,
)
from edge.stages import StagedClassifier
from edge.whole_graph import whole_graph

#: Bytes of a graph that is also loaded with scaling and softmax in it. Larger ones gain little by
#: that, and would be held twice.
_SMALL = 16 << 20

MemoryChoice = ResultMemory | Literal["sidecar", "none"]


def load_classifier(
    model: str | Path,
    *,
    memory: MemoryChoice = "sidecar",
    run_on: RunOptions = PLAIN_RUN,
) -> ClassifierSession:
    """Load whatever classifier a sidecar describes.

    A cascade's members are looked up beside its sidecar and may be cascades themselves. They are
    loaded without a memory: the one in front of the outermost cascade has seen the same pixels.

    Args:
        model: Name of a shipped model, or path of a graph or sidecar.
        memory: ``"sidecar"``: the memory that the cascade's sidecar describes, empty; ``"none"``:
            none; or a memory to use instead.
        run_on: Which of the models' files, and how many threads.

    Raises:
        DataError: If a file is absent or damaged, a member is another than the sidecar names, or
            the model is no classifier.
        ConfigError: If a memory is given for a model that is no cascade.
        UserError: If a name is not that of a shipped model.
    """
    path = sidecar_path(resolve_model(model))
    sidecar = read_sidecar(path)
    if sidecar.cascade is not None:
        return _load_cascade(path, sidecar, memory, run_on)
    if sidecar.kind != "classifier":
        raise DataError(
            f"{path} describes a model of kind {sidecar.kind!r}, expected a classifier or a cascade"
        )
    if not isinstance(memory, str):
        raise ConfigError(
            f"{sidecar.name!r} is a single network, which has no place for a result memory; "
            "expected a cascade"
        )
    return _load_network(path, sidecar, run_on)


def member_sha256(sidecar: Sidecar) -> str:
    """Return the hash by which a cascade's sidecar names a member.

    Of a network: the SHA-256 of its ONNX file as its own sidecar states it, of the one for ONNX
    Runtime if there are several; if it has a state or stages, the SHA-256 of all digests, joined.
    Of a cascade, which has no file: the SHA-256 of its block ``cascade`` as compact JSON, which
    names its members' hashes in turn. So claims may be edited, but not weights and thresholds.

    Raises:
        DataError: If the model is neither, or a network without such a file.
    """
    if sidecar.cascade is not None:
        return hashlib.sha256(_decisive(sidecar.cascade)).hexdigest()
    files = sorted(sidecar.files, key=lambda file: file.target != "onnxruntime")
    if sidecar.kind != "classifier" or not files:
        raise DataError(
            f"{sidecar.name!r} cannot be a cascade's member: it is of kind {sidecar.kind!r} with "
            f"{len(files)} files, expected a cascade or a classifier with one"
        )
    digests = [files[0].sha256, *(stage.sha256 for stage in sidecar.stages)]
    if sidecar.state.sha256 is not None:
        digests.append(sidecar.state.sha256)
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _decisive(spec: CascadeSpec) -> bytes:
    """Return what the hash of a cascade covers.

    Where schema 1 knew it, in its words: a cascade that was a member then is still the same one.
    """
    if len(spec.stages) > 2 or not spec.thresholds:
        return spec.model_dump_json(exclude={"stages": {"__all__": {"share"}}}).encode()
    networks = [one.model_dump(include={"name", "sha256"}) for one in spec.stages]
    rest = spec.model_dump(include={"score", "combine", "memory"})
    first, second = networks[0], networks[1] if len(networks) > 1 else None
    block = {"a": first, "b": second, "score": rest.pop("score"), "threshold": spec.thresholds[0]}
    return to_json({**block, **rest})


def _load_network(
    path: Path, sidecar: Sidecar, run_on: RunOptions
) -> OnnxClassifier | DualMemoryClassifier:
    """Load one network, with what it remembers or with the graphs of its stages."""
    content = read_model_bytes(path, sidecar, run_on.target)
    session = open_session(content, name=sidecar.name, threads=run_on.threads)
    if sidecar.state.path is not None:
        state = read_state(path.with_name(sidecar.state.path), sidecar.state.sha256)
        if state.labels != sidecar.labels:
            raise DataError(
                f"{path} has the labels {sidecar.labels}, its memory {state.labels}; expected the "
                "same"
            )
        network = FeatureClassifier(network_sidecar(sidecar, state), session)
        kind = OnlineDualMemoryClassifier if sidecar.state.online else DualMemoryClassifier
        return kind(sidecar, network, state)
    if sidecar.stages:
        stages = [
            open_session(read_described_bytes(path, one), name=one.path, threads=run_on.threads)
            for one in sidecar.stages
        ]
        return StagedClassifier(sidecar, session, stages)
    meanings = {output.meaning for output in sidecar.outputs}
    classifier: type[OnnxClassifier] = OnnxClassifier
    if "completed" in meanings:
        classifier = MaskedClassifier
    elif "features" in meanings:
        classifier = FeatureClassifier
    single = classifier(sidecar, session)
    small = isinstance(session, OnnxSession) and len(content) <= _SMALL
    if small and (whole := whole_graph(content, sidecar)) is not None:
        single.whole = OnnxSession(whole, name=sidecar.name, threads=run_on.threads)
    return single


def _load_cascade(
    path: Path, sidecar: Sidecar, memory: MemoryChoice, run_on: RunOptions
) -> CascadeClassifier:
    spec = sidecar.cascade
    assert spec is not None  # noqa: S101 - the caller has looked
    if sidecar.files or sidecar.calibration.temperature != 1.0:
        raise DataError(
            f"{path} has {len(sidecar.files)} files and temperature "
            f"{sidecar.calibration.temperature}, expected none and 1: a cascade's files and "
            "temperatures are those of its members"
        )
    if memory == "sidecar" and spec.memory is not None:
        # Imported here: whoever loads without a memory needs none of its backends.
        from edge.memory.registry import memory_from_spec

        memory = memory_from_spec(spec.memory)
    cascade = CascadeClassifier(
        [_load_member(path, stage, run_on) for stage in spec.stages],
        CascadePolicy(score=spec.score, thresholds=spec.thresholds, combine=spec.combine),
        memory=None if isinstance(memory, str) else memory,
    )
    cascade.info = replace(
        cascade.info, name=sidecar.name, version=sidecar.version, macs=sidecar.cost.macs
    )
    found = cascade.info
    if sidecar.labels != found.labels or not same_canonical_image(sidecar.input.image, found.image):
        raise DataError(
            f"{path} describes labels {sidecar.labels} and the image {sidecar.input.image}, its "
            f"members have {found.labels} and {found.image}; expected the same but for scale, "
            "mean and std"
        )
    return cascade


def _load_member(cascade: Path, member: CascadeStage, run_on: RunOptions) -> ClassifierSession:
    """Load a member from the cascade's folder, if it is the one that the cascade names.

    The hash is compared before the member's own members are read, and no cascade can hold its own
    hash, so a cascade that names itself is refused here instead of being read for ever.
    """
    path = cascade.with_name(member.name + SUFFIX)
    if not path.exists():
        raise DataError(
            f"the cascade {cascade} needs its member {member.name!r} beside it, but there is no "
            f"{path.name}; put that sidecar and its ONNX file into the folder"
        )
    sidecar = read_sidecar(path)
    if sidecar.state.online:
        raise DataError(
            f"{path} changes with what it sees, so the results that the cascade {cascade.name} "
            "remembers would not be its answers any more; switch its state.online off"
        )
    found = member_sha256(sidecar)
    if found != member.sha256:
        raise DataError(
            f"{path} is not the member that the cascade {cascade.name} was made of: its sha256 is "
            f"{found}, expected {member.sha256}; fetch that version or export the cascade again"
        )
    return load_classifier(path, memory="none", run_on=run_on)
