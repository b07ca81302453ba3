"""The images and the compose files: clean, complete, closed, and made of options that exist."""

import asyncio
import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from bicameral.cli.app import app
from edge.jetson.bicameral_jetson import parse_arguments
from edge.jetson.bundle import RUNTIME
from server.limits import ServerSettings
from server.metrics import Metrics
from server.processes import supervisor

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE_FILES = sorted(DOCKER.glob("compose*.yml"))


def instructions(dockerfile: Path) -> list[str]:
    """Return the instructions with their continued lines joined and comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", "").splitlines() if line.strip()]


def variables(dockerfile: Path) -> dict[str, str]:
    settings = [line for line in instructions(dockerfile) if line.startswith("ENV")]
    return dict(pair.split("=", 1) for line in settings for pair in line.split()[1:])


def services(compose_file: Path) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(compose_file.read_text())["services"]


def every_service() -> list[Any]:
    return [
        pytest.param(path, service, id=f"{path.stem}-{name}")
        for path in COMPOSE_FILES
        for name, service in services(path).items()
    ]


def ignored(path: str) -> bool:
    """Return whether the build context lacks a path, as far as the rules of this project go."""
    verdict = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        kept, pattern = rule.startswith("!"), rule.removeprefix("!").removeprefix("**/")
        if rule and not rule.startswith("#") and fnmatch(path.split("/")[0], pattern):
            verdict = not kept
    return verdict


@pytest.fixture(scope="module")
def known_variables() -> set[str]:
    """Every variable of the environment that a command of ours reads."""
    found: set[str] = set()
    for command in ("serve", "simulate", "evaluate"):
        for argument in app[command].assemble_argument_collection():
            words = [name.lstrip("-") for name in argument.names]
            found |= {re.sub(r"[.-]", "_", f"bicameral_{command}_{word}").upper() for word in words}
    return found


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, dockerfile], capture_output=True, text=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_is_in_the_build_context(dockerfile: Path) -> None:
    copies = [line.split()[1:-1] for line in instructions(dockerfile) if line.startswith("COPY")]
    sources = [source for copy in copies if not copy[0].startswith("--from") for source in copy]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source == "." or not ignored(source), source


def test_the_build_context_holds_what_the_wheel_is_made_of_and_nothing_private() -> None:
    for part in ("pyproject.toml", "README.md", "LICENSE", "agent", "bicameral", "edge", "models"):
        assert not ignored(part), part
    for part in (".git", ".venv", "runs", "data", "tests", "bicameral.toml"):
        assert ignored(part), part


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_runs_as_a_numbered_user_and_starts_without_a_shell(dockerfile: Path) -> None:
    lines = instructions(dockerfile)
    (user,) = [line.split()[1] for line in lines if line.startswith("USER")]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD")]
    words = json.loads(command)
    entries = [line.removeprefix("ENTRYPOINT ") for line in lines if line.startswith("ENTRYPOINT")]
    if entries:
        words = json.loads(entries[0]) + words
        assert words[:2] == ["python3", f"/opt/bicameral/{RUNTIME}"]
        assert parse_arguments(words[2:]).command == "serve"
    else:
        assert words[0] == "bicameral"
        assert words[1] in set(app)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_what_an_image_sets_are_options_of_the_command(
    dockerfile: Path, known_variables: set[str]
) -> None:
    ours = {name for name in variables(dockerfile) if name.startswith("BICAMERAL_")}
    assert ours <= known_variables


@pytest.mark.parametrize(("path", "service"), every_service())
def test_what_a_service_names_exists(
    path: Path, service: dict[str, Any], known_variables: set[str]
) -> None:
    declared = yaml.safe_load(path.read_text())
    if "build" in service:
        context = (path.parent / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        # Results go where git looks away; everything else is there.
        made = f"{Path(source).name}/" in (ROOT / ".gitignore").read_text().splitlines()
        assert source in declared.get("volumes", {}) or made or (path.parent / source).exists()
    assert set(service.get("networks", ())) <= set(declared.get("networks", {}))
    assert set(service.get("depends_on", ())) <= set(declared["services"])
    ours = {name for name in service.get("environment", {}) if name.startswith("BICAMERAL_")}
    assert ours <= known_variables
    if service.get("command", [""])[0] == "bicameral":
        app.parse_args(service["command"][1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(("path", "service"), every_service())
def test_a_service_is_limited_and_reachable_from_this_machine_only(
    path: Path, service: dict[str, Any]
) -> None:
    assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert (
        "healthcheck" in service
        or "HEALTHCHECK" in (path.parent.parent / service["build"]["dockerfile"]).read_text()
    )


def test_the_compose_services_cannot_write_their_roots() -> None:
    for service in services(DOCKER / "compose.yml").values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]


def test_prometheus_reads_the_service_and_the_port_that_the_image_has() -> None:
    (job,) = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    ((target,),) = [entry["targets"] for entry in job["static_configs"]]
    service, port = target.split(":")
    image = variables(DOCKER / "server.Dockerfile")
    assert service in services(DOCKER / "compose.yml")
    assert port == image["BICAMERAL_SERVE_PORT"]
    assert f"EXPOSE {port}" in instructions(DOCKER / "server.Dockerfile")


def test_alerts_speak_of_figures_that_the_server_has() -> None:
    written = services(DOCKER / "compose.yml")["prometheus"]["volumes"]
    configuration = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    (path,) = configuration["rule_files"]
    assert f"./alerts.yml:{path}:ro" in written
    text = asyncio.run(Metrics().exposition()).decode()
    counted = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    (group,) = yaml.safe_load((DOCKER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        names = set(re.findall(r"\b[a-z_]+(?=[{\[])", rule["expr"]))
        assert names, rule["alert"]
        assert {name.removesuffix("_bucket") for name in names} <= counted | {"up"}
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    assert set(re.findall(r'job="(\w+)"', str(group))) <= jobs


def test_the_server_stops_before_it_would_be_killed() -> None:
    grace = services(DOCKER / "compose.yml")["server"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > ServerSettings().drain_s + supervisor._EXIT_MARGIN_S


def locked(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return dict(line.split()[0].split("==") for line in lines if "==" in line.split(";")[0])


def test_an_image_holds_what_is_tested() -> None:
    tested, shipped = locked("test"), locked("server")
    assert {"onnxruntime", "redis", "starlette", "uvicorn"} <= set(shipped)
    assert not {"torch", "carla", "ray"} & set(shipped)
    assert shipped.items() <= tested.items()


def test_the_health_check_fails_where_no_server_is() -> None:
    (line,) = [
        line
        for line in instructions(DOCKER / "server.Dockerfile")
        if line.startswith("HEALTHCHECK")
    ]
    command = json.loads(line.partition("CMD ")[2])
    command[0] = sys.executable
    gone = subprocess.run(
        command, env=os.environ | {"BICAMERAL_SERVE_PORT": "9"}, capture_output=True, text=True
    )
    assert gone.returncode == 1
    assert "ConnectionRefusedError" in gone.stderr
