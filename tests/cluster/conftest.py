"""Collects these tests only where Ray is installed: it is no part of `make test`."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]
