"""Closed-loop driving through the official carla client: routes, episodes, metrics, reports."""
