"""Sensors: what each measures or makes of a rendered frame, and what is offered at all."""
