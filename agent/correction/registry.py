"""The corrections by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.correction.none import NoCorrection
from agent.correction.paper import PaperCorrection, PaperRule
from agent.correction.protocol import CorrectionRule
from agent.correction.second_opinion import SecondOpinionCorrection, SecondOpinionSettings
from bicameral.errors import ConfigError, unknown_name
from edge.dual_head import DualHeadModel


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionParts:
    """What a correction may be built from: network A, network B if given, settings."""

    first: DualHeadModel
    second: DualHeadModel | None
    second_opinion: SecondOpinionSettings = field(default_factory=SecondOpinionSettings)


def make_correction(name: str, parts: CorrectionParts) -> CorrectionRule:
    """Build a correction.

    Raises:
        UserError: If the name is unknown.
        ConfigError: If the correction needs a second network and none is given.
    """
    if name not in CORRECTIONS:
        raise unknown_name("correction", name, CORRECTIONS)
    return CORRECTIONS[name](parts)


def _make_none(parts: CorrectionParts) -> CorrectionRule:
    del parts
    return NoCorrection()


def _make_paper(parts: CorrectionParts) -> CorrectionRule:
    agent = parts.first.agent
    return PaperCorrection(PaperRule(bin_edges=agent.bin_edges, scale=agent.steering_scale))


def _make_second_opinion(parts: CorrectionParts) -> CorrectionRule:
    if parts.second is None:
        raise ConfigError("the correction 'second_opinion' needs a second network; give one")
    settings = parts.second_opinion
    first, second = parts.first.agent, parts.second.agent
    chosen_a, chosen_b = settings.threshold_a, settings.threshold_b
    return SecondOpinionCorrection(
        settings,
        threshold_a=first.confidence.threshold if chosen_a is None else chosen_a,
        threshold_b=second.confidence.threshold if chosen_b is None else chosen_b,
        input_range=first.input_range,
    )


CORRECTIONS: dict[str, Callable[[CorrectionParts], CorrectionRule]] = {
    "none": _make_none,
    "paper": _make_paper,
    "second_opinion": _make_second_opinion,
}
