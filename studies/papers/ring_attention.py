"""Exact attention over several processes, each with its part of the tokens (ring attention).

Every process keeps its queries. Keys and values go round: each process sends those that it has to
the next one and gets those of the one before, until it has seen all. The softmax is that of running
maxima and sums (Milakov and Gimelshein 2018, 1805.02867; Liu et al. 2023, 2310.01889).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed

_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Attention of as many heads over random tokens, the same in every process.

    Attributes:
        heads: Number of heads.
        tokens: A multiple of the number of processes.
        size: Numbers of a token that a head has.
        seed: Of the draw.
    """

    heads: int
    tokens: int
    size: int
    seed: int = 0

    def drawn(self) -> Tensor:
        """Return queries, keys and values, normally distributed, (3, heads, tokens, size)."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(3, self.heads, self.tokens, self.size, generator=generator)


def whole_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return softmax(q k / sqrt(d)) v of (heads, tokens, size) in one piece."""
    scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])
    return scores.softmax(dim=-1) @ values


def ring_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return what this process's queries take of the keys and values of all processes.

    Args:
        queries: (heads, own tokens, size), as the others.
        keys: Of this process.
        values: Of this process.
    """
    top = torch.full((*queries.shape[:2], 1), -math.inf)
    total, taken = torch.zeros_like(top), torch.zeros_like(queries)
    for turn in range(distributed.get_world_size()):
        if turn:
            keys, values = _pass_on(torch.stack([keys, values]))
        scores = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[2])
        higher = torch.maximum(top, scores.amax(dim=-1, keepdim=True))
        weights, shrunk = torch.exp(scores - higher), torch.exp(top - higher)
        total = total * shrunk + weights.sum(dim=-1, keepdim=True)
        taken = taken * shrunk + weights @ values
        top = higher
    return taken / total


def _pass_on(mine: Tensor) -> Tensor:
    """Send to the next process of the ring, and return what the one before sent."""
    rank, count = distributed.get_rank(), distributed.get_world_size()
    got = torch.empty_like(mine)
    sent = distributed.isend(mine, (rank + 1) % count)
    distributed.recv(got, (rank - 1) % count)
    if sent is not None:
        sent.wait()
    return got


def attention_over_processes(problem: Problem, count: int, limit_s: float) -> Tensor:
    """Compute the attention of a problem by a ring of fresh processes, (heads, tokens, size).

    Raises:
        TimeoutError: If one has not answered in time; all are ended then.
        RuntimeError: If one failed; its error is on the console.
    """
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=_work, args=(problem, rank, count, folder, limit_s), daemon=True)
            for rank in range(count)
        ]
        try:
            for one in ranks:
                one.start()
            _wait(ranks, limit_s)
        finally:
            for one in ranks:
                one.kill()
                one.join()
        parts = [torch.load(_answer(folder, rank)) for rank in range(count)]
    return torch.cat(parts, dim=1)


def _wait(ranks: list[multiprocessing.context.SpawnProcess], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while running := [rank for rank, one in enumerate(ranks) if one.is_alive()]:
        if time.monotonic() > end:
            raise TimeoutError(
                f"ring attention: of {len(ranks)} processes, {running} had not answered after "
                f"{limit_s:g} s, so all were ended; allow more time or look why they hang"
            )
        if any(one.exitcode for one in ranks):
            break  # the others would wait for it
        time.sleep(_POLL_S)
    if failed := [rank for rank, one in enumerate(ranks) if one.exitcode]:
        raise RuntimeError(f"ring attention: processes {failed} of {len(ranks)} failed; see above")


def _work(problem: Problem, rank: int, count: int, folder: str, limit_s: float) -> None:
    """Compute one process's part and write it; they meet at a file, over loopback alone."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo",
        init_method=(Path(folder) / "meeting").as_uri(),
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=limit_s),
    )
    parts = problem.drawn().chunk(count, dim=2)
    torch.save(ring_attention(*parts[rank].contiguous()), _answer(folder, rank))
    distributed.barrier()
    distributed.destroy_process_group()


def _answer(folder: str, rank: int) -> Path:
    return Path(folder) / f"{rank}.pt"
