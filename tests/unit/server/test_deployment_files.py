"""What engines read to run the server: it fits the image, the server's options and each other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bicameral.cli.app import app
from bicameral.errors import ConfigError
from server.limits import ServerSettings
from server.processes import supervisor

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
IMAGE = (ROOT / "docker" / "server.Dockerfile").read_text()

#: What a server may take to end.
END_S = ServerSettings().drain_s + supervisor._EXIT_MARGIN_S


def image_setting(name: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", IMAGE)
    assert found is not None
    return found[1]


def known_variables() -> set[str]:
    """Every variable of the environment that `bicameral serve` reads."""
    names = [name for each in app["serve"].assemble_argument_collection() for name in each.names]
    return {re.sub(r"[.-]", "_", f"bicameral_serve_{name.lstrip('-')}").upper() for name in names}


def require_takes(command: list[str]) -> None:
    assert command[0] == "bicameral"
    app.parse_args(command[1:], exit_on_error=False, print_error=False)


@pytest.fixture
def kserve() -> tuple[dict[str, Any], dict[str, Any]]:
    runtime, service = yaml.safe_load_all((DEPLOY / "kserve.yaml").read_text())
    assert (runtime["kind"], service["kind"]) == ("ServingRuntime", "InferenceService")
    return runtime, service


@pytest.fixture
def container(kserve) -> dict[str, Any]:
    (container,) = kserve[0]["spec"]["containers"]
    return container


def test_the_service_on_kserve_runs_the_runtime_beside_it(kserve):
    runtime, service = kserve
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    offered = [
        {key: offer[key] for key in model["modelFormat"]}
        for offer in runtime["spec"]["supportedModelFormats"]
    ]
    assert model["modelFormat"] in offered


def test_the_runtime_on_kserve_is_the_image(container):
    compose = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
    assert container["image"] == compose["services"]["server"]["image"]
    # KServe knows the container that it serves from by this name, and mounts the models there.
    assert container["name"] == "kserve-container"
    assert container["args"][-1] == "/mnt/models"
    require_takes(container["args"])
    assert {variable["name"] for variable in container["env"]} <= known_variables()
    user = (
        f"{container['securityContext']['runAsUser']}:{container['securityContext']['runAsGroup']}"
    )
    assert f"USER {user}" in IMAGE


async def test_kserve_asks_the_port_and_the_paths_that_answer(
    kserve, container, tmp_path: Path, write_classifier, serving_folder
):
    port = int(image_setting("BICAMERAL_SERVE_PORT"))
    assert [entry["containerPort"] for entry in container["ports"]] == [port]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe")]
    probes.append(container["livenessProbe"]["httpGet"])
    annotations = kserve[0]["spec"]["annotations"]
    probes.append(
        {
            "port": int(annotations["prometheus.kserve.io/port"]),
            "path": annotations["prometheus.kserve.io/path"],
        }
    )
    assert {probe["port"] for probe in probes} == {port}
    write_classifier(tmp_path, "net")
    async with serving_folder(tmp_path) as client:
        for probe in probes:
            assert (await client.get(probe["path"])).status_code == 200


def test_what_a_replica_writes_is_in_memory(kserve, container):
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == "/dev/shm"
    volumes = {volume["name"]: volume for volume in kserve[0]["spec"]["volumes"]}
    assert volumes[mount["name"]]["emptyDir"]["medium"] == "Memory"


def test_everybody_waits_longer_than_the_server_takes_to_end(kserve, unit):
    assert kserve[1]["spec"]["predictor"]["terminationGracePeriodSeconds"] > END_S
    assert float(unit["TimeoutStopSec"][0]) > END_S


@pytest.fixture
def unit() -> dict[str, list[str]]:
    """The settings of the systemd unit, each with all its values."""

    def lines() -> Iterator[tuple[str, str]]:
        for line in (DEPLOY / "bicameral.service").read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                yield name, value

    found: dict[str, list[str]] = {}
    for name, value in lines():
        found.setdefault(name, []).append(value)
    return found


def test_the_unit_starts_a_command_that_exists_and_keeps_its_models(unit):
    (command,) = unit["ExecStart"]
    program, *words = command.split()
    require_takes([Path(program).name, *words])
    assert words[-1] == f"/var/lib/{unit['StateDirectory'][0]}"


def test_the_unit_gives_a_wrong_setting_no_second_try(unit):
    assert unit["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
