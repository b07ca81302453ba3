"""A server that fails is tried less and less often, and by one caller at a time."""

from __future__ import annotations

import pytest

from edge.memory.circuit_breaker import CircuitBreaker
from tests.remembered import Clock

pytestmark = pytest.mark.unit


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(first_pause_s=1.0, longest_pause_s=4.0, clock=clock)


def test_everybody_may_try_until_something_fails(breaker: CircuitBreaker) -> None:
    assert all(breaker.allows() for _ in range(3))
    assert breaker.failed()
    assert not breaker.allows()


def test_after_the_pause_one_caller_tries_and_the_others_go_on(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    breaker.failed()
    clock.now_s = 1.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_pauses_double_up_to_the_longest(breaker: CircuitBreaker, clock: Clock) -> None:
    for pause_s in (1.0, 2.0, 4.0, 4.0):
        breaker.failed()
        clock.now_s += pause_s * 0.99
        assert not breaker.allows()
        clock.now_s += pause_s * 0.02
        assert breaker.allows()


def test_a_success_opens_the_way_for_all_and_shortens_the_next_pause(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    for _ in range(5):
        breaker.failed()
    clock.now_s += 10.0
    assert breaker.allows()
    assert breaker.succeeded()
    assert not breaker.succeeded()
    assert all(breaker.allows() for _ in range(3))
    breaker.failed()
    clock.now_s += 1.0
    assert breaker.allows()
