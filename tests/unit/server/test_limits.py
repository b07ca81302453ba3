"""Settings that contradict themselves are refused; processors are counted as the group allows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bicameral.errors import ConfigError
from server.limits import BatchLimits, RequestLimits, ServerSettings, available_processors
from server.serving.served_model import ServingParts


def test_a_server_is_reachable_from_its_own_machine_only_unless_told_otherwise() -> None:
    assert ServerSettings().host == "127.0.0.1"


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        (RequestLimits, {"max_rows": 0}, "requests.max_rows is 0, expected a number above 0"),
        (RequestLimits, {"timeout_s": float("nan")}, "requests.timeout_s is nan"),
        (RequestLimits, {"max_body_bytes": -1}, "requests.max_body_bytes is -1"),
        (BatchLimits, {"max_wait_s": float("inf")}, "batching.max_wait_s is inf"),
        (BatchLimits, {"in_place_s": -0.1}, "in_place_s is -0.1, expected a number from 0"),
        (ServerSettings, {"port": 65536}, "port is 65536, expected 0..65535"),
        (ServerSettings, {"port": 8001, "grpc_port": 8001}, "both 8001; give gRPC another one"),
        (ServerSettings, {"workers": 0}, "workers is 0, expected at least 1"),
        (ServerSettings, {"drain_s": -1.0}, "drain_s is -1.0, expected 0 s or more"),
    ],
)
def test_limits_that_mean_nothing_are_refused(
    settings: type, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(**changes)


def test_no_run_on_the_loop_is_a_possible_setting() -> None:
    assert BatchLimits(in_place_s=0.0).in_place_s == 0.0


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, None),
        ({"cpu.max": "rubbish"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_processors_are_those_of_the_affinity_and_the_control_group(
    tmp_path: Path, files: dict[str, str], quota: int | None
) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "ascii")
    assert available_processors(tmp_path) == (quota or len(os.sched_getaffinity(0)))


def test_settings_become_the_parts_of_the_models() -> None:
    settings = ServerSettings(
        requests=RequestLimits(max_rows=7), remember=False, redis_url="redis://localhost"
    )
    parts = ServingParts(settings)
    assert (parts.settings.requests.max_rows, parts.settings.remember) == (7, False)
    assert parts.redis is not None
    assert parts.redis.url == "redis://localhost"
    assert ServingParts(ServerSettings()).redis is None
