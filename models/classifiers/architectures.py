"""The former place of `models.networks.architectures`; gone when nothing imports it from here."""

from models.networks.architectures import ARCHITECTURES, POOL, REFERENCES, ZOO, build_network

__all__ = ["ARCHITECTURES", "POOL", "REFERENCES", "ZOO", "build_network"]
