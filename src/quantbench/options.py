"""From options and a configuration file to RunSettings; the command line wins over the file."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from quantbench.errors import UsageError, unknown
from quantbench.settings import RunSettings
from quantbench.yaml_file import read_yaml

LISTS = {"methods": str, "tasks": str, "batch_sizes": int, "prompt_tokens": int}
RENAMED = {"speed_budget": "speed_budget_s", "model_option": "model", "format": "output_format"}
SETTINGS = {field.name for field in fields(RunSettings)} - {"given"}
KEYS = sorted((SETTINGS - {"speed_budget_s"}) | {"speed_budget", "format"})  # of a configuration file
FORMATS = ("md", "html", "json", "csv")


def merge_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of --config with those of the command line over them; both spellings of a key."""
    options = dict(given)
    path = options.pop("config", None)
    if path is None:
        return options
    merged: dict[str, Any] = {}
    for key, value in read_yaml(path).items():
        name = key.replace("-", "_")
        if name not in KEYS:
            raise UsageError(f"in '{path}': {unknown('key', key, KEYS)}")
        name = "output_format" if name == "format" else name
        if name in merged:
            raise UsageError(f"'{path}' holds '{key}' twice, spelled in two ways; remove one of them")
        if value is None:
            raise UsageError(f"'{key}' has no value in '{path}'; give it one or remove the key")
        merged[name] = value
    if "model" in options or "model_option" in options:
        merged.pop("model", None)
    return merged | options


def read_settings(options: Mapping[str, Any]) -> RunSettings:
    """Options by name as RunSettings; lists may be written with commas."""
    values: dict[str, Any] = {}
    if options.get("model") and options.get("model_option"):
        raise UsageError("the model is given twice; leave out --model or the argument")
    for key, value in options.items():
        name = RENAMED.get(key, key)
        values[name] = read_list(key, value) if name in LISTS else value
    if "output_dir" in values:
        if not isinstance(values["output_dir"], str | Path) or "\0" in str(values["output_dir"]):
            raise UsageError("'output_dir' must be the path of a folder; mend the configuration")
        if not str(values["output_dir"]).strip():
            raise UsageError("'output_dir' is empty; give it a folder or leave it out")
        values["output_dir"] = Path(values["output_dir"])
    check_types(values)
    return RunSettings(**values, given=frozenset(values))


def check_types(values: Mapping[str, Any]) -> None:
    """UsageError for a value of a configuration file that has another type than its option."""
    for field in fields(RunSettings):
        value = values.get(field.name)
        if value is None or field.name in LISTS or field.name in ("output_dir", "given"):
            continue
        wanted = (get_args(field.type) or (field.type,))[0]
        fits = (int, float) if wanted is float else wanted
        if not isinstance(value, fits) or (isinstance(value, bool) and wanted is not bool):
            raise UsageError(
                f"'{field.name}' must be of type {wanted.__name__}, not {shown(value)}; "
                "mend the configuration"
            )
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            raise UsageError(f"'{field.name}' is empty or holds a NUL; give it a value or leave it out")


def shown(value: Any) -> str:
    """A scalar as it is written, of anything else its type: a nested value may be endless."""
    short = repr(value)[:40] if isinstance(value, str | bool | float) else ""
    return short or type(value).__name__


def read_list(option: str, value: Any) -> tuple[Any, ...]:
    """'a,b' or ['a', 'b'] as a tuple of the option's type; UsageError for repetitions and other types."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    kind = LISTS[RENAMED.get(option, option)]
    written = f"--{option.replace('_', '-')}"
    if not all(isinstance(part, str | int) and len(str(part)) < 200 for part in parts):
        raise UsageError(f"{written} takes a list of {'names' if kind is str else 'numbers'}, nothing nested")
    try:
        values = tuple(kind(str(part).strip()) for part in parts if str(part).strip())
    except ValueError:
        raise UsageError(f"{written} takes whole numbers separated by commas, as in 1,8,64") from None
    for entry in values:
        if values.count(entry) > 1:
            raise UsageError(f"{written} names {entry} twice; name it once")
    return values


def read_formats(text: Any) -> tuple[str, ...]:
    """The formats to write; all of them unless given."""
    if text is None:
        return FORMATS
    parts = text if isinstance(text, list) else str(text)[:200].split(",")
    names = tuple(str(part).strip() for part in parts if isinstance(part, str) and part.strip())
    if not names:
        raise UsageError(f"--format names no format; choose from: {', '.join(FORMATS)}")
    for name in names:
        if name not in FORMATS:
            raise UsageError(unknown("format", name, FORMATS))
    return tuple(dict.fromkeys(names))
