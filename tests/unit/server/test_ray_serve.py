"""A replica behind Ray Serve, without Ray; with it: tests/cluster."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bicameral.errors import ConfigError, MissingExtraError
from server.limits import ServerSettings
from server.processes import run_folder
from server.ray_serve import NAME, Replica, ReplicaArguments, application

ROOT = Path(__file__).resolve().parents[3]
Writer = Callable[..., Path]


@pytest.fixture
def shipped() -> dict[str, Any]:
    (described,) = yaml.safe_load((ROOT / "deploy" / "ray_serve.yaml").read_text())["applications"]
    return described


def test_the_shipped_configuration_fits(shipped):
    assert shipped["import_path"] == f"{application.__module__}:{application.__name__}"
    given = ReplicaArguments.from_args(shipped["args"])
    assert given.replicas == 2
    assert given.settings.redis_url == shipped["args"]["redis_url"]
    assert [deployment["name"] for deployment in shipped["deployments"]] == [NAME]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"redis_ulr": "redis://x"}, "redis_ulr"),
        ({"workers": 2}, "workers"),
        ({"requests": {"max_row": 1}}, "max_row"),
        ({"replicas": 0}, "replicas"),
        ({"drain_s": -1}, "drain_s"),
    ],
)
def test_an_argument_that_is_none_is_refused_by_name(arguments, named):
    with pytest.raises(ConfigError, match=named):
        application(arguments)


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"bicameral\[cluster\]"):
        application({})


async def test_a_replica_is_a_whole_server_that_tells_its_name_and_leaves_nothing(
    tmp_path: Path, write_classifier: Writer, serving_app, monkeypatch
):
    write_classifier(tmp_path, "net")
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(run_folder, "_MEMORY", memory)
    settings = ServerSettings()
    async with serving_app(lambda _: Replica(settings, [tmp_path], None, "one")) as client:
        answer = await client.get("/v2/health/ready")
        assert (answer.status_code, answer.headers["x-replica"]) == (200, "one")
        assert (await client.get("/v2/models/nothing")).headers["x-replica"] == "one"
        assert (await client.get("/v1/workers")).json()["ready"]
        assert len(list(memory.iterdir())) == 1
    assert list(memory.iterdir()) == []
