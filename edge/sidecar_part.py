"""What all blocks of a sidecar are: strict about their fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Pair = tuple[float, float]

#: A name in the sidecar's own folder, never a way out of it.
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+$")]


class Part(BaseModel):
    """Base of all parts: frozen, and strict about unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
