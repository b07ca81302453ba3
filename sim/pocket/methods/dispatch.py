"""From a request to its answer, whatever the request is."""

from __future__ import annotations

import logging

from bicameral.errors import BicameralError
from sim.pocket.methods.method import Method, Outcome
from sim.pocket.methods.table import METHODS
from sim.pocket.protocol.framing import (
    VOID_RESULT,
    Request,
    value_error,
    value_result,
    void_error,
)
from sim.pocket.protocol.values import WireError
from sim.pocket.world.world import World

#: How many unknown names are remembered, so that garbage does not fill the memory.
_REMEMBERED_UNKNOWN = 1000

logger = logging.getLogger(__name__)


class Dispatcher:
    """Answers requests about one world.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._unknown: set[str] = set()

    def answer(self, owner: object, request: Request) -> tuple[str | None, object]:
        """Return (error, result) for the response; never raises.

        Args:
            owner: The connection that asks; what it registers ends with it.
            request: The call.
        """
        method = METHODS.get(request.method)
        count = len(request.arguments)
        if method is None:
            self._note_unknown(request.method)
            return _not_found(request.method, count), None
        if not method.fewest <= count <= method.most:
            return _wrong_count(request.method, method, count), None
        try:
            value = method.handler(self._world, owner, *request.arguments)
        except WireError as error:
            return f"rpclib: function '{request.method}' got a bad argument: {error}", None
        except BicameralError as error:
            return None, _refusal(method, str(error))
        except Exception:
            # A defect of ours must not take down every client.
            logger.exception("the method %r failed", request.method)
            return f"rpclib: function '{request.method}' threw an exception", None
        return None, _success(method, value)

    def _note_unknown(self, name: str) -> None:
        if name in self._unknown or len(self._unknown) >= _REMEMBERED_UNKNOWN:
            return
        self._unknown.add(name)
        logger.warning("a client called the unknown method %r", name[:100])


def _not_found(name: str, count: int) -> str:
    """Word the error like rpclib, which the real server uses."""
    return f"rpclib: server could not find function '{name}' with argument count {count + 1}."


def _wrong_count(name: str, method: Method, count: int) -> str:
    return (
        f"rpclib: function '{name}' was called with an invalid number of arguments. "
        f"Expected: {method.most + 1}, got: {count + 1}"
    )


def _refusal(method: Method, message: str) -> object:
    if method.outcome is Outcome.VALUE:
        return value_error(message)
    return void_error(message)


def _success(method: Method, value: object) -> object:
    if method.outcome is Outcome.VALUE:
        return value_result(value)
    if method.outcome is Outcome.BARE:
        return value
    return VOID_RESULT
