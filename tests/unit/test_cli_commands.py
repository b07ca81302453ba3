"""The commands as a whole: how many, in which groups, and how they name what they miss."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

import pytest
from cyclopts import CycloptsError

from bicameral.cli.app import COMMANDS as COMMANDS_BY_GROUP
from bicameral.cli.app import app

COMMANDS = [
    (name, place) for commands in COMMANDS_BY_GROUP.values() for name, place, _summary in commands
]


def function_of(place: str) -> Callable[..., int]:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"bicameral.cli.{module}"), name)


def test_help_shows_the_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    app(["--help"])
    shown = capsys.readouterr().out
    places = [shown.index(title) for title in ("Drive", "Train", "Judge", "Deploy", "Machine")]
    assert places == sorted(places)


def test_there_are_as_many_commands_and_parameters_as_users_asked_for() -> None:
    # Last added: `evaluate --skip-unknown-towns`, `--cluster`, `--traffic`, `--walkers` and
    # `--pace`, `collect --traffic`, `--walkers` and `--scenes`, diagnose with what it looks at and
    # where to, `train classifier --memory-saving`, `search` and `describe-frame`.
    assert len(COMMANDS) <= 24
    commands = [app.parse_commands(name.split())[1][-1] for name, _ in COMMANDS]
    found = [one for command in commands for one in command.assemble_argument_collection()]
    assert sum(one.show for one in found) <= 169


@pytest.mark.parametrize(("name", "place"), COMMANDS)
def test_what_is_typed_without_a_flag_is_never_called_a_flag(name: str, place: str) -> None:
    kinds = {one.kind for one in inspect.signature(function_of(place)).parameters.values()}
    assert inspect.Parameter.POSITIONAL_OR_KEYWORD not in kinds, name


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["train", "classifier", "--output", "x"], "ENTRY"),
        (["train", "cascade", "--output", "x"], "DATA"),
        (["train", "driver", "--output", "x"], "DATA"),
        (["compare"], "A"),
        (["export", "--target", "onnxruntime"], "MODELS"),
        (["classify"], "IMAGES"),
        (["assess"], "MODEL"),
    ],
)
def test_a_missing_word_is_named_as_the_help_names_it(
    words: list[str], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match=missing):
        app(words)
    printed = "".join(capsys.readouterr())
    assert f"--{missing.lower()}" not in printed
    app(
        [*words[:-2], "--help"]
        if "--output" in words or "--target" in words
        else [*words, "--help"]
    )
    assert missing in capsys.readouterr().out


COMMANDS_WITH_NUMBERS = [
    (["simulate"], {"seed", "port"}),
    (["evaluate"], {"seed", "port", "jobs"}),
    (["collect"], {"seed", "port", "jobs"}),
    (["train", "driver", "data", "--output", "x"], {"seed"}),
    (["train", "classifier", "squeeze16", "data", "--output", "x"], {"seed"}),
    (["train", "cascade", "data", "--output", "x"], {"seed", "jobs"}),
]

IMPOSSIBLE = {"seed": ("-1", str(2**64)), "port": ("0", "65535"), "jobs": ("0", "-1")}


@pytest.mark.parametrize(
    ("words", "flag", "value"),
    [
        (words, flag, value)
        for words, flags in COMMANDS_WITH_NUMBERS
        for flag in sorted(flags)
        for value in IMPOSSIBLE[flag]
    ],
)
def test_a_number_out_of_its_range_is_refused_before_anything_begins(
    words: list[str], flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CycloptsError):
        app([*words, f"--{flag}", value])
    printed = " ".join("".join(capsys.readouterr()).split())
    assert f'Invalid value "{value}" for --{flag}. Must be ' in printed


def test_no_command_has_such_a_number_without_its_range() -> None:
    found = {
        name: {"seed", "port", "jobs"} & set(inspect.signature(function_of(place)).parameters)
        for name, place in COMMANDS
        if name != "doctor"  # looks whether anything answers at a port
    }
    ranged = {
        next(name for name, _ in COMMANDS if words[: len(name.split())] == name.split()): flags
        for words, flags in COMMANDS_WITH_NUMBERS
    }
    assert {name: flags for name, flags in found.items() if flags} == ranged
