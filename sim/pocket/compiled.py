"""The one way in which the pocket simulator compiles its numeric kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a kernel with numba on its first call, and keep the machine code on disk.

    One thread, no fast-math: the same inputs give the same bits in every process. Division by
    zero follows numpy (infinity or NaN), so that no check sits in the inner loops.
    """
    return cast("Function", numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def compiled_lean(function: Function) -> Function:
    """Compile a kernel that makes no arrays, under the same rules.

    Nobody counts the references to those that it is given. Otherwise each inlined part would count
    those of its arguments at every call, which for parts of few pixels costs more than their work.
    """
    lean = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
    return cast("Function", lean(function))


def compiled_part(function: Function) -> Function:
    """Compile a function that only kernels call, under the same rules.

    It has no entry from Python and no cache of its own (its machine code is part of the kernel's),
    which about halves the time it takes to compile.
    """
    part = numba.njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )
    return cast("Function", part(function))


def inlined_part(function: Function) -> Function:
    """Compile a part into each kernel that calls it, as if its lines stood there.

    For what inner loops call with arrays: a call would count references to them every time.
    """
    part = numba.njit(nogil=True, error_model="numpy", inline="always")
    return cast("Function", part(function))
