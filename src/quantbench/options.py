"""From options and a configuration file to RunSettings; the command line wins over the file."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import yaml

from quantbench.errors import UsageError, unknown
from quantbench.settings import RunSettings

LISTS = {"methods": str, "tasks": str, "batch_sizes": int, "prompt_tokens": int}
RENAMED = {"speed_budget": "speed_budget_s", "model_option": "model"}
FORMATS = ("md", "html", "json", "csv")


def merge_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of --config with those of the command line over them; both spellings of a key."""
    options = dict(given)
    path = options.pop("config", None)
    if path is None:
        return options
    known = {f.name for f in fields(RunSettings)} | {"speed_budget", "output_format", "format"}
    merged: dict[str, Any] = {}
    for key, value in read_yaml(path).items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise UsageError(f"in '{path}': {unknown('key', str(key), sorted(known))}")
        merged["output_format" if name == "format" else name] = value
    return merged | options


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; UsageError with the line that is wrong otherwise."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration '{path}' ({error.strerror}); check --config"
        ) from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 1}" if place else ""
        raise UsageError(f"'{path}' is not valid YAML{where}; mend it or leave --config out") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"'{path}' must hold keys and values, as in `methods: fp16,int8,int4`")
    return content


def read_settings(options: Mapping[str, Any]) -> RunSettings:
    """Options by name as RunSettings; lists may be written with commas."""
    values: dict[str, Any] = {}
    if options.get("model") and options.get("model_option"):
        raise UsageError("the model is given twice; leave out --model or the argument")
    for key, value in options.items():
        name = RENAMED.get(key, key)
        values[name] = read_list(key, value) if name in LISTS else value
    if "output_dir" in values:
        values["output_dir"] = Path(values["output_dir"])
    check_types(values)
    return RunSettings(**values)


def check_types(values: Mapping[str, Any]) -> None:
    """UsageError for a value of a configuration file that has another type than its option."""
    for field in fields(RunSettings):
        value = values.get(field.name)
        if value is None or field.name in LISTS or field.name == "output_dir":
            continue
        wanted = (get_args(field.type) or (field.type,))[0]
        fits = (int, float) if wanted is float else wanted
        if not isinstance(value, fits) or (isinstance(value, bool) and wanted is not bool):
            raise UsageError(
                f"'{field.name}' must be of type {wanted.__name__}, not {value!r}; mend the configuration"
            )


def read_list(option: str, value: Any) -> tuple[Any, ...]:
    """'a,b' or ['a', 'b'] as a tuple of the option's type."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    kind = LISTS[option]
    try:
        return tuple(kind(str(part).strip()) for part in parts if str(part).strip())
    except ValueError:
        raise UsageError(
            f"--{option.replace('_', '-')} takes whole numbers separated by commas, as in 1,8,64"
        ) from None


def read_formats(text: str | None) -> tuple[str, ...]:
    """The formats to write; all of them unless given."""
    if text is None:
        return FORMATS
    names = tuple(part.strip() for part in str(text).split(",") if part.strip())
    for name in names:
        if name not in FORMATS:
            raise UsageError(unknown("format", name, FORMATS))
    return names
