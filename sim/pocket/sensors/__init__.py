"""Sensors other than cameras and events: what each measures, and what is offered at all."""
