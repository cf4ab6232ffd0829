"""The entry of planning: one table, or a sweep with a table for each model."""

from quantbench.errors import UsageError
from quantbench.plan import Plan
from quantbench.planning.build import plan_table
from quantbench.planning.resolving import resolve_methods
from quantbench.planning.sweep import plan_sweep
from quantbench.settings import RunSettings
from quantbench.sources import ModelSource


def build_plan(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of a run and its first model, opened; a QuantbenchError for anything that cannot work."""
    if not settings.own_baselines:
        return plan_table(resolve_methods(settings))
    if settings.plan is None and not settings.models:
        raise UsageError("--own-baselines has no effect here: one model is given; leave it out")
    return plan_sweep(settings)
