"""The blueprint library of the pocket simulator."""
