"""What requests should cost at most, and whether they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.bench.cost import Cost
from server.bench.fixtures import PAIR, REMEMBERING_PAIR, RESIDUAL, TINY

#: Names of the servers.
OURS, UNBATCHED = "bicameral", "bicameral, unbatched"
#: MLServer as it is installed, and without the process in which it then runs its models.
PEER, PEER_ALONE = "MLServer", "MLServer, one process"

#: How requests are written; similar pictures differ by noise from those that were sent before.
BINARY, JSON, PICTURE, SIMILAR = "V2 binary", "V2 JSON", "picture", "V2 binary, similar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether something is as cheap as it should be.

    Attributes:
        claim: What is measured.
        value: The measured figure.
        limit: What it should be at most.
        holds: Whether it is.
    """

    claim: str
    value: float
    limit: float
    holds: bool


def at_most(claim: str, value: float, limit: float) -> Verdict:
    """Compare a figure with its limit."""
    return Verdict(claim=claim, value=value, limit=limit, holds=value <= limit)


#: Request over reference at 8 clients, at most.
_LIMITS = {
    (TINY, BINARY): 6.0,
    (TINY, JSON): 10.0,
    (TINY, PICTURE): 10.0,
    (RESIDUAL, BINARY): 1.2,
    (RESIDUAL, JSON): 3.0,
    (RESIDUAL, PICTURE): 1.4,
    (PAIR, BINARY): 1.3,
}

#: The peer's processor time over ours, at least.
_PEER_FACTOR = 6.0


def verdicts_on(costs: Sequence[Cost]) -> list[Verdict]:
    """Compare the costs of `server.bench.suite` with their limits."""
    found = {(cost.server, cost.model, cost.form, cost.connections): cost for cost in costs}
    verdicts = [
        at_most(
            f"{model}, {form}, 8 clients: request / in-process run",
            found[OURS, model, form, 8].ratio,
            limit,
        )
        for (model, form), limit in _LIMITS.items()
    ]
    for model in (TINY, RESIDUAL):
        batched, unbatched = (
            found[server, model, BINARY, 32].ratio for server in (OURS, UNBATCHED)
        )
        verdicts.append(
            at_most(f"{model}, 32 clients: batched / unbatched", batched / unbatched, 1.0)
        )
    for form, picture in ((BINARY, "picture"), (SIMILAR, "similar picture")):
        hit = found[OURS, REMEMBERING_PAIR, form, 8].request_s
        verdicts.append(
            at_most(
                f"{picture} that the pair remembers / request for tiny",
                hit / found[OURS, TINY, BINARY, 8].request_s,
                1.0,
            )
        )
    verdicts += [
        at_most(
            f"tiny, V2 JSON, 8 clients: {OURS} / {cost.server}",
            found[OURS, TINY, JSON, 8].ratio / cost.ratio,
            1 / _PEER_FACTOR,
        )
        for cost in costs
        if cost.server == PEER
    ]
    return verdicts
