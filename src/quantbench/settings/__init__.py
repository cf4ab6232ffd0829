"""Every option of the product, once: a field of a settings class with its sentence, default and bounds.

Settings are frozen pydantic values, nested in groups, passed on as they are: the command line, a
configuration file and the Python API make RunSettings, the plan puts its groups into each Trial, and the
record keeps the Trial.
"""

from quantbench.settings.arrivals import ArrivalSettings
from quantbench.settings.base import Settings, options_text
from quantbench.settings.devices import devices_of
from quantbench.settings.engines import IN_PROCESS, Engine, EngineName
from quantbench.settings.execution import ExecutionSettings, Executor
from quantbench.settings.groups import (
    DistanceSettings,
    EvaluationSettings,
    Format,
    GenerationSettings,
    LoadSettings,
    OutputSettings,
    PerplexitySettings,
    PlaceSettings,
    SpeedSettings,
)
from quantbench.settings.kv import KvFormat, KvName
from quantbench.settings.option import Facts, flag, option
from quantbench.settings.reading import merge_config, read_settings
from quantbench.settings.run import RunSettings
from quantbench.settings.sweep_file import merge_files

__all__ = [
    "IN_PROCESS",
    "ArrivalSettings",
    "DistanceSettings",
    "Engine",
    "EngineName",
    "EvaluationSettings",
    "ExecutionSettings",
    "Executor",
    "Facts",
    "Format",
    "GenerationSettings",
    "KvFormat",
    "KvName",
    "LoadSettings",
    "OutputSettings",
    "PerplexitySettings",
    "PlaceSettings",
    "RunSettings",
    "Settings",
    "SpeedSettings",
    "devices_of",
    "flag",
    "merge_config",
    "merge_files",
    "option",
    "options_text",
    "read_settings",
]
