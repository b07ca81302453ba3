"""`python -m studies` lists the studies, `python -m studies NAME [--quick]` runs one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bicameral.errors import BicameralError, unknown_name
from bicameral.tables import print_table, table_of
from studies.study import all_studies


def main(arguments: list[str] | None = None) -> int:
    """List the studies, or run one; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies", description=__doc__)
    parser.add_argument("name", nargs="?", help="the study to run; all are listed without one")
    parser.add_argument("--quick", action="store_true", help="a short run on few data")
    parser.add_argument("--output", type=Path, help="folder for what it writes; runs/studies/NAME")
    asked = parser.parse_args(arguments)
    known = all_studies()
    if asked.name is None:
        rows = [(name, one.claim, one.setting, one.needs) for name, one in known.items()]
        print_table(table_of("", ("study", "claim", "setting", "needs"), rows, words=4))
        return 0
    try:
        if asked.name not in known:
            raise unknown_name("study", asked.name, known)
        folder = asked.output or Path("runs/studies") / asked.name
        folder.mkdir(parents=True, exist_ok=True)
        return known[asked.name].run(folder, asked.quick)
    except BicameralError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
