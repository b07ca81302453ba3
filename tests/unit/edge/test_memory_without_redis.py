"""Without the extra, everything but a shared memory works, and that one says what is missing."""

from __future__ import annotations

import sys

import pytest

from bicameral.errors import MissingExtraError
from edge.cascade_sidecar import CascadeMemory
from edge.memory.local import LocalMemory
from edge.memory.redis_memory import RedisServer
from edge.memory.registry import memory_from_spec

pytestmark = pytest.mark.unit


def test_a_shared_memory_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    spec = CascadeMemory(
        key="exact", tolerance_mae_u8=0, max_entries=1, max_age_s=None, store_min_confidence=0
    )
    assert isinstance(memory_from_spec(spec), LocalMemory)
    with pytest.raises(MissingExtraError, match=r"pip install 'bicameral\[redis\]'"):
        memory_from_spec(spec, server=RedisServer(url="redis://127.0.0.1"))
