"""Measurements of Stormglass beside the tools it is compared with; each module runs by `python -m`."""
