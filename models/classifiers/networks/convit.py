"""The former place of `models.networks.convit`; gone as soon as nothing imports it from here."""

from models.networks.convit import ConVitNetwork, GatedPositionalAttention

__all__ = ["ConVitNetwork", "GatedPositionalAttention"]
