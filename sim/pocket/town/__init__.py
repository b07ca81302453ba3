"""Towns generated from a seed, as OpenDRIVE text."""

from sim.pocket.town.generate import generate_town
from sim.pocket.town.recipe import (
    RECIPES,
    SHIPPED_RECIPES,
    TRAINING_RECIPES,
    VALIDATION_RECIPES,
    VARIED_RECIPES,
    TownRecipe,
    recipe_by_name,
)

__all__ = [
    "RECIPES",
    "SHIPPED_RECIPES",
    "TRAINING_RECIPES",
    "VALIDATION_RECIPES",
    "VARIED_RECIPES",
    "TownRecipe",
    "generate_town",
    "recipe_by_name",
]
