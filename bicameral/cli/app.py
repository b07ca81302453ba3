"""The `bicameral` command.

Settings come from a flag, else from ``BICAMERAL_*`` in the environment, else from
``bicameral.toml`` in this folder or one above, else from the default in the code.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.config import Env

from bicameral import __version__
from bicameral.cli.settings_file import SettingsFile
from bicameral.errors import BicameralError, MachineError

USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130

#: Groups of `bicameral --help`, each with its commands: name, where it is, what it does. A name of
#: two words is a command under the first.
COMMANDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Drive": (
        ("simulate", "simulate:simulate", "Run the pocket simulator."),
        ("maps get", "maps:get_maps", "Fetch CARLA's towns for it, once."),
        ("evaluate", "evaluate:evaluate", "Drive routes and write a report."),
        ("collect", "collect:collect", "Record training data."),
        ("search", "search:search", "Find frames of recorded drives by words."),
        ("describe-frame", "describe_frame:describe_frame", "Say what a frame shows."),
        (
            "leaderboard-entry",
            "leaderboard_entry:leaderboard_entry",
            "Write the agent for CARLA's leaderboard and Bench2Drive.",
        ),
    ),
    "Train": (
        ("train driver", "train:train_driver", "Train a dual-head driver."),
        ("train classifier", "train:train_classifier", "Train one classifier by name."),
        (
            "train cascade",
            "train_cascade:train_cascade",
            "Train small classifiers and join the best pair.",
        ),
    ),
    "Judge": (
        ("assess", "assess:assess", "Score a model on recorded data."),
        ("compare", "compare:compare", "Compare two models' answers."),
        ("diagnose", "diagnose:diagnose", "Look into a network, or two."),
        ("classify", "classify:classify", "Classify pictures."),
        ("measure", "measure:measure", "Measure energy and cost of classifiers on streams."),
        ("zoo", "zoo:zoo", "Show classifiers and what each is good for."),
    ),
    "Deploy": (
        ("serve", "serve:serve", "Answer requests over HTTP."),
        ("keys new", "keys:new_key", "Make a key for who may use a server."),
        ("describe", "describe:describe", "Show what an ONNX file wants, and write its sidecar."),
        ("export", "export:export", "Write, check or pack a model's files for a device."),
    ),
    "Machine": (
        ("doctor", "doctor:doctor", "Check this machine."),
        ("bench sim", "bench_simulator:bench_simulator", "A tick of the simulator."),
        ("bench serve", "bench_server:bench_server", "Requests to the server."),
        ("bench models", "bench_models:bench_models", "Latency of models."),
    ),
}

#: What the commands of two words have in common.
_FAMILIES = {
    "maps": "Maps for the pocket simulator.",
    "train": "Train a network (needs the extra 'train').",
    "keys": "Keys for who may use a server.",
    "bench": "Measure what something costs on this machine.",
}


def _build() -> App:
    """Register the commands by import path, so that ``bicameral --help`` imports none of them."""
    built = App(
        name="bicameral",
        help="Agents and classifiers that know when they are unsure, and a simulator to drive in.",
        version=__version__,
        # The first source wins: the environment goes before the file.
        config=[Env("BICAMERAL_"), SettingsFile("bicameral.toml", search_parents=True)],
        exit_on_error=False,
        print_error=True,
        suppress_keyboard_interrupt=False,  # `main` says how to go on
        default_parameter=Parameter(negative_iterable=()),  # no --empty-... for every list
        # A command's return value is the exit code.
        result_action="return_value",
    )
    for order, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=order)
        families: dict[str, App] = {}
        for name, place, summary in commands:
            family, _, rest = name.rpartition(" ")
            path = f"bicameral.cli.{place}"
            if not family:
                built.command(path, name=rest, help=summary, group=group)
                continue
            if family not in families:
                families[family] = App(name=family, help=_FAMILIES[family], group=group)
                built.command(families[family])
            families[family].command(path, name=rest, help=summary)
    return built


app = _build()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Exit codes: 0 done, 1 done with findings, 2 wrong input, 3 the machine lacks or refuses
    something, 4 the simulator or an agent elsewhere was lost, 130 interrupted.

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
    except (OSError, MemoryError) as error:
        if debug:
            raise
        sys.stderr.write(f"error: {_refusal(error)}; --debug shows what was being done\n")
        return MachineError.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(
            "interrupted; evaluate and measure go on with --resume, collect and train when they "
            "are given again\n"
        )
        return INTERRUPTED_EXIT_CODE
    return int(code or 0)


def _refusal(error: OSError | MemoryError) -> str:
    """Say what the operating system would not give, and which file or folder it was about."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory ({error or 'none is left'}); ask for less at once"
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"cannot use {error.filename!r}: {reason}"
