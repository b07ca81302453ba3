"""From a request to its answer, whatever the request is.

A method is a function and the way in which its outcome is wrapped. Parameters that are called
``world`` and ``owner`` are the world and the connection that asks; every other one is an argument
of the call, read as what its annotation says: a type of `protocol.values`, or a class of actor,
which the client names by its id. A function without annotations is declared with the kinds of its
arguments behind it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, get_type_hints

from bicameral.errors import BicameralError, UserError
from sim.pocket.protocol.framing import (
    VOID_RESULT,
    Request,
    value_error,
    value_result,
    void_error,
)
from sim.pocket.protocol.values import OutOfRangeError, Uint32, WireError, from_wire, reader_of
from sim.pocket.world.actors import Actor
from sim.pocket.world.world import World

#: How many unknown names are remembered, so that garbage does not fill the memory.
_REMEMBERED_UNKNOWN = 1000
_ANY_COUNT = 100

logger = logging.getLogger(__name__)


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
        given: Which of ``world`` and ``owner`` the handler takes, first.
        readers: What reads each argument; called with the world and the decoded MessagePack.
        fewest: Fewest arguments.
        most: Most arguments.
    """

    handler: Callable[..., Any]
    outcome: Outcome
    given: tuple[str, ...]
    readers: tuple[Callable[[World, Any], Any], ...]
    fewest: int
    most: int

    def call(self, world: World, owner: object, arguments: Sequence[Any]) -> Any:
        """Call the handler with what the arguments mean.

        Args:
            world: The world.
            owner: The connection that asks; what it registers ends with it.
            arguments: Decoded MessagePack, `fewest` to `most` of it.

        Raises:
            WireError: An argument has the wrong form.
            UserError: There is no such actor, or the handler refuses.
        """
        leading = {"world": world, "owner": owner}
        read = [reader(world, value) for reader, value in zip(self.readers, arguments)]  # noqa: B905
        return self.handler(
            *(leading[name] for name in self.given), *read, *arguments[len(self.readers) :]
        )


def _method(outcome: Outcome, handler: Callable[..., Any], *told: Any) -> Method:
    """Declare a method; `told` are the kinds of its arguments where annotations say none."""
    parameters = inspect.signature(handler).parameters.values()
    named = [item for item in parameters if item.kind is not inspect.Parameter.VAR_POSITIONAL]
    given = tuple(item.name for item in named if item.name in ("world", "owner"))
    if told:
        readers = tuple(map(_reader, told))
        return Method(handler, outcome, given, readers, fewest=len(told), most=len(told))
    kinds = get_type_hints(handler, include_extras=True)
    read = named[len(given) :]
    needed = [item for item in read if item.default is inspect.Parameter.empty]
    return Method(
        handler=handler,
        outcome=outcome,
        given=given,
        readers=tuple(_reader(kinds[item.name]) for item in read),
        fewest=len(needed),
        most=len(read) if len(named) == len(parameters) else _ANY_COUNT,
    )


returns = functools.partial(_method, Outcome.VALUE)
completes = functools.partial(_method, Outcome.VOID)
fires = functools.partial(_method, Outcome.FIRED)
answers_bare = functools.partial(_method, Outcome.BARE)


def nothing(*_arguments: Any) -> None:
    """Accept what has no effect here."""


def refusal(reason: str) -> Callable[..., None]:
    """Return what refuses; where the client does not wait for the answer, the log tells."""

    def refuse(*_arguments: Any) -> None:
        """Refuse what the simulator does not have."""
        raise UserError(reason)

    return refuse


def _reader(kind: Any) -> Callable[[World, Any], Any]:
    if isinstance(kind, type) and issubclass(kind, Actor):
        return functools.partial(_find_actor, kind)
    read = reader_of(kind)
    return lambda _world, value: read(value)


def _find_actor(kind: type[Actor], world: World, value: Any) -> Actor:
    return world.episode.actors.get(from_wire(Uint32, value), kind)


class Dispatcher:
    """Answers requests about one world.

    Args:
        world: The world.
        methods: What clients may call, by name.
    """

    def __init__(self, world: World, methods: Mapping[str, Method]) -> None:
        self._world = world
        self._methods = methods
        self._unknown: set[str] = set()
        self._refused: set[str] = set()

    def answer(self, owner: object, request: Request) -> tuple[str | None, object]:
        """Return (error, result) for the response; never raises.

        Args:
            owner: The connection that asks; what it registers ends with it.
            request: The call.
        """
        name, count = request.method, len(request.arguments)
        method = self._methods.get(name)
        # The errors are worded like those of rpclib, which the real server uses.
        if method is None:
            self._note_unknown(name)
            return (
                f"rpclib: server could not find function '{name}' with argument count {count + 1}."
            ), None
        if not method.fewest <= count <= method.most:
            return (
                f"rpclib: function '{name}' was called with an invalid number of arguments. "
                f"Expected: {method.most + 1}, got: {count + 1}"
            ), None
        try:
            value = method.call(self._world, owner, request.arguments)
        except BicameralError as error:
            if isinstance(error, WireError) and not isinstance(error, OutOfRangeError):
                return f"rpclib: function '{name}' got a bad argument: {error}", None
            if method.outcome is Outcome.FIRED:
                self._note_refusal(name, str(error))
            wrapped = value_error if method.outcome is Outcome.VALUE else void_error
            return None, wrapped(str(error))
        except Exception:
            # A defect of ours must not take down every client.
            logger.exception("the method %r failed", name)
            return f"rpclib: function '{name}' threw an exception", None
        return None, _success(method, value)

    def _note_refusal(self, name: str, reason: str) -> None:
        """Tell once of a refusal that no client reads."""
        if name not in self._refused:
            self._refused.add(name)
            logger.warning("%s was refused: %s", name, reason)

    def _note_unknown(self, name: str) -> None:
        if name in self._unknown or len(self._unknown) >= _REMEMBERED_UNKNOWN:
            return
        self._unknown.add(name)
        logger.warning("a client called the unknown method %r", name[:100])


def _success(method: Method, value: object) -> object:
    if method.outcome is Outcome.VALUE:
        return value_result(value)
    return value if method.outcome is Outcome.BARE else VOID_RESULT
