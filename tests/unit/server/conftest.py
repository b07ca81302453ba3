"""What served models are built from, and a way to run a test on an event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from server.limits import BatchLimits, RequestLimits
from server.serving.computation import BatchRecord
from server.serving.parts import ServingParts
from server.serving.picture_input import PictureDecoder
from server.serving.served_model import ModelVersion

PartsMaker = Callable[..., ServingParts]


@pytest.fixture
def batches() -> list[tuple[ModelVersion, BatchRecord]]:
    """The runs of all models of the test."""
    return []


@pytest.fixture
def make_parts(batches: list[tuple[ModelVersion, BatchRecord]]) -> PartsMaker:
    """Make `ServingParts`; keywords set fields of the limits, or of the parts themselves."""

    def make(
        *,
        requests: dict[str, Any] | None = None,
        batching: dict[str, Any] | None = None,
        **fields: Any,
    ) -> ServingParts:
        request_limits = RequestLimits(**(requests or {}))
        batch_limits = BatchLimits(**(batching or {}))
        return ServingParts(
            requests=request_limits,
            batching=batch_limits,
            decoder=PictureDecoder(request_limits, batch_limits),
            on_batch=lambda model, record: batches.append((model, record)),
            **fields,
        )

    return make
