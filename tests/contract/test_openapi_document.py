"""The OpenAPI document is true: requests made from it get answers that it describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

Writer = Callable[..., Path]

PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    write_pair: Writer,
    write_read_out: Writer,
    serving: Callable[..., Any],
) -> Iterator[Any]:
    """One worker with a cascade, its members, and a model that learns."""
    folder = tmp_path_factory.mktemp("models")
    write_pair(folder, {"net": 0, "other": 1})
    write_read_out(folder, "learner")
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serving(folder, log, "--workers=1") as running:
        yield running
    assert "Traceback" not in log.read_text("utf-8")


def test_every_operation_answers_as_described(server: Any) -> None:
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
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
