"""Numbers that several commands take, with the range in which they mean something."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

#: What every generator of random numbers here can begin with.
Seed = Annotated[int, Parameter(validator=Number(gte=0, lt=2**32))]

#: How many processes share some work.
Jobs = Annotated[int, Parameter(validator=Number(gte=1))]

#: Where a CARLA server listens; it takes the next port, too.
CarlaPort = Annotated[int, Parameter(validator=Number(gte=1, lte=65534))]
