"""The former place of `models.networks.spiking`; gone as soon as nothing imports it from here."""

from models.networks.spiking import STEPS, SpikingNetwork

__all__ = ["STEPS", "SpikingNetwork"]
