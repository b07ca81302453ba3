"""Optional dependencies: which extra brings which package, and whether it is there."""

from __future__ import annotations

import importlib.metadata

from bicameral.errors import MissingExtraError

#: Extra -> the packages that it installs (pyproject.toml is the source).
EXTRA_PACKAGES: dict[str, tuple[str, ...]] = {
    "sim": (
        "carla", "jinja2", "joblib", "msgpack", "numba", "pyclothoids", "scipy", "shapely",
        "websockets",
    ),
    "train": ("jinja2", "onnx", "snntorch", "torch"),
    "export": ("jinja2", "onnx", "onnxslim"),
    "redis": ("redis",),
    "server": (
        "httptools", "orjson", "prometheus-client", "python-multipart", "starlette", "uvicorn",
        "uvloop", "websockets",
    ),
    "tracing": ("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"),
    "cluster": ("ray",),
    "nvidia": ("nvidia-ml-py",),
}  # fmt: skip


def missing_packages(extra: str) -> tuple[str, ...]:
    """Return the packages of an extra that are not installed, without importing them."""
    return tuple(name for name in EXTRA_PACKAGES[extra] if not _is_installed(name))


def require_extra(extra: str) -> None:
    """Raise `MissingExtraError` naming the first package of the extra that is absent."""
    missing = missing_packages(extra)
    if missing:
        raise MissingExtraError(missing[0], extra)


def require_package(package: str, extra: str) -> None:
    """Raise `MissingExtraError` if a package is absent that, of its extra, alone is needed."""
    if not _is_installed(package):
        raise MissingExtraError(package, extra)


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
