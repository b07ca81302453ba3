"""The `bicameral` command.

Commands are registered by import path, so that ``bicameral --help`` imports none of them.
Settings come from a flag, else from ``BICAMERAL_*`` in the environment, else from
``bicameral.toml`` in this folder or one above, else from the default in the code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from cyclopts.config import Env, Toml

from bicameral import __version__
from bicameral.errors import BicameralError

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130

app = App(
    name="bicameral",
    help="Agents and classifiers that know when they are unsure, and a simulator to drive in.",
    version=__version__,
    # The first source wins: the environment goes before the file.
    config=[Env("BICAMERAL_"), Toml("bicameral.toml", search_parents=True, must_exist=False)],
    exit_on_error=False,
    print_error=True,
    suppress_keyboard_interrupt=False,  # `main` says how to go on
    # A command's return value is the exit code.
    result_action="return_value",
)
app.command("bicameral.cli.simulate:simulate", name="simulate", help="Run the pocket simulator.")
app.command(
    "bicameral.cli.evaluate:evaluate", name="evaluate", help="Drive routes and write a report."
)
app.command("bicameral.cli.collect:collect", name="collect", help="Record training data.")
app.command("bicameral.cli.classify:classify", name="classify", help="Classify pictures.")
app.command("bicameral.cli.zoo:zoo", name="zoo", help="Show classifiers and what each is good for.")
app.command("bicameral.cli.serve:serve", name="serve", help="Answer requests over HTTP.")
app.command(
    "bicameral.cli.export:export",
    name="export",
    help="Write a model's files for a device, check them, or pack them with what runs them.",
)
app.command("bicameral.cli.compare:compare", name="compare", help="Compare two models' answers.")

keys = App(name="keys", help="Keys for those who may use a server.")
keys.command("bicameral.cli.keys:new_key", name="new", help="Make a key.")
app.command(keys)

app.command("bicameral.cli.doctor:doctor", name="doctor", help="Check this machine.")

app.command(
    "bicameral.cli.measure:measure",
    name="measure",
    help="Measure energy and cost of classifiers on streams of images.",
)

train = App(name="train", help="Train a network (needs the extra 'train').")
train.command("bicameral.cli.train:train_caril", name="caril", help="Train a dual-head driver.")
train.command(
    "bicameral.cli.train_cascade:train_cascade",
    name="cascade",
    help="Train small classifiers and join the best pair.",
)
train.command(
    "bicameral.cli.train:train_classifier",
    name="classifier",
    help="Train one classifier by name.",
)
app.command(train)

assess = App(name="assess", help="Score a trained network on recorded data, without driving.")
assess.command("bicameral.cli.assess:assess_caril", name="caril", help="Score a dual-head driver.")
assess.command(
    "bicameral.cli.assess_cascade:assess_cascade",
    name="cascade",
    help="Compare a cascade with its networks and a large one.",
)
app.command(assess)

bench = App(name="bench", help="Measure what something costs on this machine.")
bench.command(
    "bicameral.cli.bench_simulator:bench_simulator", name="sim", help="A tick of the simulator."
)
bench.command(
    "bicameral.cli.bench_server:bench_server", name="serve", help="Requests to the server."
)
bench.command("bicameral.cli.bench_models:bench_models", name="models", help="Latency of models.")
app.command(bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Exit codes: 0 done, 1 done with findings, 2 wrong input, 3 the machine lacks something,
    4 the simulator or an agent elsewhere was lost, 130 interrupted.

    Args:
        arguments: The words after the program's name; ``sys.argv`` when None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    sys.exit(_run(words, debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    try:
        code = app(words)
    except CycloptsError:
        return USAGE_EXIT_CODE  # cyclopts has printed the reason
    except BicameralError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; evaluate and measure go on with --resume, collect and train when they "
            "are given again\n"
        )
        return INTERRUPTED_EXIT_CODE
    return int(code or 0)
