"""`python -m studies` lists the studies, `python -m studies NAME [--quick]` runs one.

`python -m studies --quick` repeats those of all papers on few data and tells the CPU time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bicameral.errors import BicameralError, unknown_name
from bicameral.tables import print_table, table_of
from studies.study import all_studies, paper_studies


def main(arguments: list[str] | None = None) -> int:
    """List the studies, or run one, or quickly all of papers; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studies", description=__doc__)
    parser.add_argument("name", nargs="?", help="the study to run")
    parser.add_argument("--quick", action="store_true", help="a short run on few data")
    parser.add_argument("--output", type=Path, help="folder for what it writes; runs/studies/NAME")
    asked = parser.parse_args(arguments)
    root = Path("runs/studies")
    if asked.name is None and asked.quick:
        return _repeat_papers(asked.output or root)
    known = all_studies()
    if asked.name is None:
        rows = [(name, one.claim, one.setting, one.needs) for name, one in known.items()]
        print_table(table_of("", ("study", "claim", "setting", "needs"), rows, words=4))
        return 0
    try:
        if asked.name not in known:
            raise unknown_name("study", asked.name, known)
        folder = asked.output or root / asked.name
        folder.mkdir(parents=True, exist_ok=True)
        return known[asked.name].run(folder, asked.quick)
    except BicameralError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def _repeat_papers(output: Path) -> int:
    """Run the studies of papers on few data, each into its folder; return 1 if one cannot run.

    Verdicts on few data decide nothing, so they are printed and do not count.
    """
    failed, total = 0, 0.0
    for name, study in paper_studies().items():
        began = time.process_time()
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            study.run(folder, True)
        except BicameralError as error:
            sys.stderr.write(f"error: {name}: {error}\n")
            failed = 1
        spent = time.process_time() - began
        total += spent
        sys.stdout.write(f"{name}: {spent:.1f} s of CPU time\n")
    sys.stdout.write(f"all: {total:.1f} s of CPU time\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
