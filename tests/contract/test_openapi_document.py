"""The OpenAPI document is true: requests made from it get answers that it describes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from edge.loading import member_sha256
from edge.sidecar import read_sidecar
from server.bench.running import RunningServer, ServerCommand, running_server

Writer = Callable[..., Path]

PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    write_classifier: Writer,
    write_cascade: Writer,
    write_read_out: Writer,
) -> Iterator[RunningServer]:
    """One worker with a cascade, its members, and a model that learns."""
    folder = tmp_path_factory.mktemp("models")
    members = []
    for seed, name in enumerate(("net", "other")):
        sidecar = read_sidecar(write_classifier(folder, name, seed=seed))
        members.append((name, member_sha256(sidecar)))
    write_cascade(folder, "pair", *members)
    write_read_out(folder, "learner")
    log = tmp_path_factory.mktemp("log") / "server.log"
    main = "from bicameral.cli.app import main; main()"
    words = [sys.executable, "-c", main, "serve", str(folder), "--port={port}", "--workers=1"]
    with running_server(ServerCommand(name="server", words=words), log) as running:
        yield running
    assert "Traceback" not in log.read_text("utf-8")


def test_every_operation_answers_as_described(server: RunningServer) -> None:
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {"POST /v1/classify/{model}", "POST /v1/drive/{model}"} <= {
        operation.label for operation in operations
    }
    for operation in operations:
        check = given(case=operation.as_strategy())(call_and_validate)
        settings(
            max_examples=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(check)()


def call_and_validate(case: schemathesis.Case) -> None:
    # A body that is bytes fits the document, and is no picture all the same.
    case.call_and_validate(timeout=PATIENCE_S, excluded_checks=[positive_data_acceptance])
