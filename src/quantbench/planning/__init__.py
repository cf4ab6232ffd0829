"""From what was asked to a Plan: resolves every 'auto', and refuses early what cannot work."""

from quantbench.planning.build import build_plan
from quantbench.planning.resolving import resolve_device

__all__ = ["build_plan", "resolve_device"]
