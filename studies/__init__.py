"""Studies, benches and soaks: what was claimed, how it was measured, and the data that came of it.

They are no part of the wheel; the product never imports them.
"""
