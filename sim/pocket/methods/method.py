"""What a method is: a function and the way in which its outcome is wrapped."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

#: Called with the world, the connection that asks, and the arguments as decoded MessagePack.
Handler = Callable[..., Any]
_LEADING_PARAMETERS = 2
_ANY_COUNT = 100


class Outcome(Enum):
    """How the answer wraps the outcome."""

    VALUE = "awaited, answers a value"
    VOID = "awaited, answers only success or an error"
    FIRED = "not awaited"
    BARE = "answers a value without a wrapper"


class Method(NamedTuple):
    """One RPC method.

    Attributes:
        handler: What it does.
        outcome: How its outcome is wrapped.
        fewest: Fewest arguments.
        most: Most arguments.
    """

    handler: Handler
    outcome: Outcome
    fewest: int
    most: int


def _method(handler: Handler, outcome: Outcome) -> Method:
    parameters = list(inspect.signature(handler).parameters.values())[_LEADING_PARAMETERS:]
    named = [item for item in parameters if item.kind is not inspect.Parameter.VAR_POSITIONAL]
    needed = [item for item in named if item.default is inspect.Parameter.empty]
    most = len(named) if len(named) == len(parameters) else _ANY_COUNT
    return Method(handler, outcome, len(needed), most)


def returns(handler: Handler) -> Method:
    """Declare an awaited method that answers the handler's value."""
    return _method(handler, Outcome.VALUE)


def completes(handler: Handler) -> Method:
    """Declare an awaited method without a value."""
    return _method(handler, Outcome.VOID)


def fires(handler: Handler) -> Method:
    """Declare a method whose outcome nobody awaits."""
    return _method(handler, Outcome.FIRED)


def answers_bare(handler: Handler) -> Method:
    """Declare a method that answers a value without a wrapper."""
    return _method(handler, Outcome.BARE)
