"""Measures a loaded model: size, speed, memory, and the bandwidth that bounds it. Raw values only."""

from quantbench.measure.bandwidth import joined, measure_bandwidth
from quantbench.measure.experiments import measure_experiments
from quantbench.measure.memory import MemoryMeter
from quantbench.measure.places import places_of
from quantbench.measure.prompts import measure_prompt_divergence, measure_prompt_times
from quantbench.measure.size import count_parameters, measure_size
from quantbench.measure.speed import check_predictions, measure_speed, warm_up
from quantbench.measure.storage import audit

__all__ = [
    "MemoryMeter",
    "audit",
    "check_predictions",
    "count_parameters",
    "joined",
    "measure_bandwidth",
    "measure_experiments",
    "measure_prompt_divergence",
    "measure_prompt_times",
    "measure_size",
    "measure_speed",
    "places_of",
    "warm_up",
]
