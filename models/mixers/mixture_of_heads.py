"""Attention in which every token chooses its heads (MoH, Jin et al. 2024, 2410.11842).

Some heads are shared and always answer; of the others, each token takes the `chosen` that its
router likes best:

    y = W_O concat_h(g_h head_h),    (w_1, w_2) = softmax(W_0 x),
    g_h = 2 w_1 S softmax(W_s x)_h              for the S shared heads,
    g_h = 2 w_2 K p_h / sum_chosen(p)           for the K chosen of the others, p = softmax(W_r x),
    g_h = 0                                     for the rest.

With even gates every g is 1, as in ordinary attention. All heads are computed and masked, as in
the authors' code, so nothing is saved; which heads a picture used is known, though.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.mixers.attention import HeadShape, SelfAttention
from models.mixers.routing import Routes, chosen


class MixtureOfHeads(SelfAttention):
    """Self-attention with gates.

    Args:
        shape: How tokens are divided.
        shared: Heads that always answer, the first ones.
        chosen: Of the others, how many each token takes.
    """

    def __init__(self, shape: HeadShape, *, shared: int, chosen: int) -> None:
        super().__init__(shape)
        self.shared, self.chosen = shared, chosen
        self.kinds = nn.Linear(shape.width, 2, bias=False)
        self.always = nn.Linear(shape.width, shared, bias=False)
        self.router = nn.Linear(shape.width, shape.heads - shared, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (N, tokens, width) to the same shape."""
        return self.routed(x)[0]

    def routed(self, x: Tensor) -> tuple[Tensor, Routes]:
        """Return what `forward` does, and what the heads that are not shared were asked for."""
        wanted = self.router(x).softmax(dim=-1)
        used = chosen(wanted, self.chosen)
        taken = wanted * used
        weights = 2.0 * self.kinds(x).softmax(dim=-1)
        always = self.shared * weights[..., :1] * self.always(x).softmax(dim=-1)
        sometimes = self.chosen * weights[..., 1:] * taken / taken.sum(dim=-1, keepdim=True)
        gates = torch.cat([always, sometimes], dim=-1).transpose(1, 2).unsqueeze(3)
        heads = self.attention(x) @ self.shape.split(self.value(x))
        mixed: Tensor = self.output(self.shape.join(gates * heads))
        return mixed, Routes(wanted=wanted.mean(dim=1), used=used.mean(dim=1))
