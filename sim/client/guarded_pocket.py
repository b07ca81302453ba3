"""Runs the pocket simulator until the process that started it goes away.

``python -m sim.client.guarded_pocket ARGUMENTS`` is ``python -m sim.pocket ARGUMENTS`` with one
addition: standard input is a pipe whose other end the starter holds. When the starter ends, however
it ends, the operating system closes that end, and the server leaves. No orphan survives a kill -9.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _leave_with_starter() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Watch standard input on a thread and become ``python -m sim.pocket``."""
    threading.Thread(target=_leave_with_starter, daemon=True).start()
    sys.argv[0] = "sim.pocket"
    runpy.run_module("sim.pocket", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
