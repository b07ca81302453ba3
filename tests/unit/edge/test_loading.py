"""From a path to a classifier: kinds, members beside the cascade, hashes, memories."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bicameral.errors import ConfigError, DataError, UserError
from bicameral.protocols import ResultMemory
from edge.cascade import CascadeClassifier
from edge.classifier import FeatureClassifier, OnnxClassifier
from edge.loading import load_classifier, member_sha256
from edge.memory.local import LocalMemory
from edge.memory.settings import MemorySettings
from edge.preflight import preflight
from edge.session import OnnxSession
from edge.shipped import shipped_model
from edge.sidecar import read_sidecar

pytestmark = pytest.mark.unit

Writer = Callable[..., Path]


def _member(path: Path) -> tuple[str, str]:
    sidecar = read_sidecar(path)
    return sidecar.name, member_sha256(sidecar)


@pytest.fixture
def a(tmp_path: Path, write_classifier: Writer) -> tuple[str, str]:
    return _member(write_classifier(tmp_path, "a", seed=3, calibration={"temperature": 2.0}))


@pytest.fixture
def b(tmp_path: Path, write_classifier: Writer) -> tuple[str, str]:
    return _member(write_classifier(tmp_path, "b", seed=5))


def test_a_single_network_is_loaded_by_graph_or_sidecar(tmp_path, write_classifier) -> None:
    path = write_classifier(tmp_path, "tiny")
    for model in (path, str(path), tmp_path / "tiny.onnx"):
        assert isinstance(load_classifier(model), OnnxClassifier)
    assert isinstance(
        load_classifier(write_classifier(tmp_path, "rich", ending="logits+features")),
        FeatureClassifier,
    )


def test_a_cascade_is_loaded_with_its_members(tmp_path, a, b, write_cascade, pictures) -> None:
    path = write_cascade(
        tmp_path, "pair", a, b, cascade={"threshold": 0.9}, cost={"macs": 1234}, version="7"
    )
    cascade = load_classifier(path)
    assert isinstance(cascade, CascadeClassifier)
    assert (cascade.info.name, cascade.info.version, cascade.info.macs) == ("pair", "7", 1234)
    assert [member.info.name for member in cascade.members] == ["a", "b"]
    assert cascade.memory is None
    direct = CascadeClassifier(
        [load_classifier(tmp_path / f"{name}.onnx") for name in "ab"], cascade.policy
    )
    assert cascade.info.fingerprint == direct.info.fingerprint
    assert (cascade.predict(pictures).probabilities == direct.predict(pictures).probabilities).all()


def test_a_networks_hash_is_that_of_its_graph(tmp_path, a) -> None:
    assert a[1] == hashlib.sha256((tmp_path / "a.onnx").read_bytes()).hexdigest()


def test_cascades_nest(tmp_path, a, b, write_cascade, write_classifier, pictures) -> None:
    inner = write_cascade(tmp_path, "inner", a, b, cascade={"memory": {}})
    c = _member(write_classifier(tmp_path, "c", seed=4))
    outer = load_classifier(write_cascade(tmp_path, "outer", _member(inner), c))
    assert isinstance(outer, CascadeClassifier)
    assert isinstance(outer.members[0], CascadeClassifier)
    assert outer.members[0].memory is None, "only the outermost cascade has a memory"
    assert len(outer.predict(pictures).probabilities) == len(pictures)
    write_cascade(tmp_path, "inner", a, b, cascade={"threshold": 0.6})
    with pytest.raises(DataError, match=r"inner.* is not the member"):
        load_classifier(tmp_path / "outer.bicameral.json")


def test_a_cascade_of_schema_1_is_read_and_is_the_same_member_as_before(
    tmp_path, a, b, write_cascade, pictures
) -> None:
    path = write_cascade(tmp_path, "pair", a, b)
    new, content = load_classifier(path), json.loads(path.read_text())
    first, second = content["cascade"].pop("stages")
    block = {
        "a": {"name": first["name"], "sha256": first["sha256"]},
        "b": {"name": second["name"], "sha256": second["sha256"]},
        "score": "margin",
        "threshold": first["threshold"],
        "combine": "average",
        "memory": None,
    }
    path.write_text(json.dumps(content | {"schema": 1, "cascade": block}))
    old = load_classifier(path)
    assert old.info == new.info
    assert (old.predict(pictures).probabilities == new.predict(pictures).probabilities).all()
    compact = json.dumps(block, separators=(",", ":"))
    assert member_sha256(read_sidecar(path)) == hashlib.sha256(compact.encode()).hexdigest()


def test_three_networks_and_a_single_one_are_cascades_too(
    tmp_path, a, b, write_cascade, write_classifier, pictures
) -> None:
    c = _member(write_classifier(tmp_path, "c", seed=4))
    three = load_classifier(write_cascade(tmp_path, "three", a, b, c, cascade={"threshold": 0.9}))
    assert [entry.stage for entry in three.predict(pictures).trace or ()].count("c") > 5
    single = load_classifier(write_cascade(tmp_path, "single", a, cascade={"memory": {}}))
    alone = load_classifier(tmp_path / "a.onnx").predict(pictures)
    assert (single.predict(pictures).probabilities == alone.probabilities).all()
    assert {entry.stage for entry in single.predict(pictures).trace or ()} == {"memory"}


def test_a_stage_in_the_middle_without_a_threshold_is_refused(
    tmp_path, a, b, write_cascade
) -> None:
    with pytest.raises(ValueError, match=r"every stage needs a threshold .*\['a', 'b'\]"):
        write_cascade(tmp_path, "pair", a, b, cascade={"threshold": None})


def test_the_memory_is_the_sidecars_or_none_or_the_given_one(
    tmp_path, a, b, write_cascade, pictures
) -> None:
    path = write_cascade(tmp_path, "pair", a, b, cascade={"memory": {}})
    cascade = load_classifier(path)
    assert isinstance(cascade, CascadeClassifier)
    memory = cascade.memory
    assert isinstance(memory, ResultMemory)
    cascade.predict(pictures)
    assert [entry.stage for entry in cascade.predict(pictures).trace or ()] == ["memory"] * 48
    for choice, expected in (("none", None), (memory, memory)):
        other = load_classifier(path, memory=choice)
        assert isinstance(other, CascadeClassifier)
        assert other.memory is expected


def test_a_single_network_has_no_place_for_a_memory(tmp_path, write_classifier) -> None:
    memory = LocalMemory(MemorySettings(key="exact"))
    with pytest.raises(ConfigError, match="'tiny' is a single network"):
        load_classifier(write_classifier(tmp_path, "tiny"), memory=memory)


def test_a_missing_member_is_named(tmp_path, a, b, write_cascade) -> None:
    path = write_cascade(tmp_path, "pair", a, b)
    (tmp_path / "b.bicameral.json").unlink()
    with pytest.raises(DataError, match=r"pair.* needs its member 'b' beside it.*b\.bicameral"):
        load_classifier(path)


def test_another_version_of_a_member_is_refused(
    tmp_path, a, b, write_cascade, write_classifier
) -> None:
    path = write_cascade(tmp_path, "pair", a, b)
    write_classifier(tmp_path, "b", seed=6)
    with pytest.raises(DataError, match=rf"b\.bicameral.* is not the member .*expected {b[1]}"):
        load_classifier(path)


def test_a_damaged_member_is_refused(tmp_path, a, b, write_cascade) -> None:
    path = write_cascade(tmp_path, "pair", a, b)
    graph = tmp_path / "a.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"a\.onnx is not the file that its sidecar describes"):
        load_classifier(path)


def test_a_git_lfs_pointer_in_place_of_a_model_says_how_to_fetch_it(
    tmp_path, write_classifier
) -> None:
    write_classifier(tmp_path, "net")
    graph = tmp_path / "net.onnx"
    graph.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    said = r"net\.onnx is not the model but a Git LFS pointer to it; fetch the model with 'git lfs"
    with pytest.raises(DataError, match=said):
        load_classifier(graph)
    with pytest.raises(DataError, match=said):
        OnnxSession(graph, name="net")
    (found,) = preflight(graph, "onnxruntime")
    assert re.search(said, found.message)


def test_a_model_that_is_not_there_or_empty_is_named_in_words(tmp_path) -> None:
    with pytest.raises(DataError, match=r"cannot read the model .*no\.onnx: No such file"):
        OnnxSession(tmp_path / "no.onnx", name="no")
    (tmp_path / "none.onnx").touch()
    with pytest.raises(DataError, match=r"none\.onnx is empty; fetch or export it again"):
        OnnxSession(tmp_path / "none.onnx", name="none")


def test_a_driving_agent_is_no_classifier_and_no_member(tmp_path, a, write_cascade) -> None:
    with pytest.raises(DataError, match="of kind 'agent', expected a classifier or a cascade"):
        load_classifier("caril_a")
    shutil.copy(shipped_model("caril_a"), tmp_path)
    path = write_cascade(tmp_path, "pair", a, ("caril_a", "0" * 64))
    with pytest.raises(DataError, match="'caril_a' cannot be a cascade's member"):
        load_classifier(path)


def test_a_cascade_that_names_itself_is_refused(tmp_path, a, write_cascade) -> None:
    path = write_cascade(tmp_path, "loop", ("loop", "0" * 64), a)
    with pytest.raises(DataError, match="is not the member"):
        load_classifier(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("1", "2", "3", "4", "5")}, "describes labels"),
        ({"calibration": {"temperature": 1.5}}, "temperature 1.5, expected none and 1"),
    ],
)
def test_a_cascade_that_contradicts_its_members_is_refused(
    tmp_path, a, b, write_cascade, changes, message
) -> None:
    with pytest.raises(DataError, match=message):
        load_classifier(write_cascade(tmp_path, "pair", a, b, **changes))


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"stages": []}, "stages"),
        ({"stages": [{"name": "a", "sha256": "0", "threshold": -0.1}]}, "threshold"),
        ({"stages": [{"name": "../a", "sha256": "0"}]}, "name"),
        ({"score": "entropy"}, "score"),
        ({"combine": "mean"}, "combine"),
        ({"memory": {"max_entries": 0}}, "max_entries"),
        ({"memory": {"store_min_confidence": 1.1}}, "store_min_confidence"),
        ({"memory": {"key": "dhash"}}, "key"),
    ],
)
def test_wrong_fields_of_the_cascade_are_named(tmp_path, a, b, write_cascade, block, field) -> None:
    path = write_cascade(tmp_path, "pair", a, b, cascade={"memory": {}})
    content = json.loads(path.read_text())
    memory = content["cascade"]["memory"] | block.get("memory", {})
    content["cascade"] |= block | {"memory": memory}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"cascade\.\S*{field}"):
        load_classifier(path)


def test_an_unknown_name_is_a_shipped_model_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="unknown shipped model"):
        load_classifier("no-such-model")
