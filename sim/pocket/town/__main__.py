"""`python -m sim.pocket.town`: write the shipped towns, or one generated town.

Usage:
    python -m sim.pocket.town --write-shipped
    python -m sim.pocket.town NAME FILE.xodr [--seed N]
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from bicameral.files import write_text_atomic
from sim.pocket.town.generate import generate_town
from sim.pocket.town.recipe import SHIPPED_RECIPES, TownRecipe, recipe_by_name

SHIPPED_FOLDER = Path(__file__).resolve().parent.parent / "maps"


def main() -> None:
    """Parse the command line and write the files."""
    parser = argparse.ArgumentParser(prog="python -m sim.pocket.town", description=__doc__)
    parser.add_argument("name", nargs="?", help="a named town, e.g. Train01")
    parser.add_argument("file", nargs="?", type=Path, help="where to write it")
    parser.add_argument("--seed", type=int, help="another seed than the named town's")
    parser.add_argument("--write-shipped", action="store_true", help="rewrite maps/*.xodr")
    arguments = parser.parse_args()
    if arguments.write_shipped:
        for recipe in SHIPPED_RECIPES:
            write_text_atomic(SHIPPED_FOLDER / f"{recipe.name}.xodr", generate_town(recipe))
    elif arguments.name is None or arguments.file is None:
        parser.error("give a town and a file, or --write-shipped")
    else:
        recipe = _recipe(arguments.name, arguments.seed)
        write_text_atomic(arguments.file, generate_town(recipe))


def _recipe(name: str, seed: int | None) -> TownRecipe:
    recipe = recipe_by_name(name)
    return recipe if seed is None else dataclasses.replace(recipe, seed=seed)


if __name__ == "__main__":
    main()
