"""Optional dependencies: which extra brings which package, and whether it is there."""

from __future__ import annotations

import importlib.util

from bicameral.errors import MissingExtraError

#: Extra -> the modules that its packages provide (pyproject.toml is the source).
EXTRA_MODULES: dict[str, tuple[str, ...]] = {
    "sim": (
        "carla", "jinja2", "joblib", "msgpack", "numba", "pyclothoids", "scipy", "shapely",
    ),
    "train": ("jinja2", "onnx", "torch"),
    "redis": ("redis",),
    "server": (
        "fastapi", "httptools", "orjson", "prometheus_client", "python_multipart", "uvicorn",
        "uvloop",
    ),
}  # fmt: skip


def missing_modules(extra: str) -> tuple[str, ...]:
    """Return the modules of an extra that are not installed, without importing them."""
    return tuple(name for name in EXTRA_MODULES[extra] if importlib.util.find_spec(name) is None)


def require_extra(extra: str) -> None:
    """Raise `MissingExtraError` naming the first package of the extra that is absent."""
    missing = missing_modules(extra)
    if missing:
        raise MissingExtraError(missing[0], extra)
