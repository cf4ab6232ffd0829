"""Measures a loaded model: size, speed, memory, and the bandwidth that bounds it. Raw values only."""

from quantbench.measure.bandwidth import measure_bandwidth
from quantbench.measure.memory import MemoryMeter
from quantbench.measure.size import count_parameters, measure_size
from quantbench.measure.speed import measure_speed, warm_up

__all__ = ["MemoryMeter", "count_parameters", "measure_bandwidth", "measure_size", "measure_speed", "warm_up"]
