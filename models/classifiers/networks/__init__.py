"""The former place of `models.networks`; gone as soon as nothing imports it from here."""
