"""From what was asked to a Plan: resolves every 'auto', and refuses early what cannot work."""

from quantbench.planning.placement import place
from quantbench.planning.resolving import resolve_device
from quantbench.planning.start import build_plan

__all__ = ["build_plan", "place", "resolve_device"]
