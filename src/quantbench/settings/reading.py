"""From what a user wrote (options, a configuration file, keywords of the API) to settings.

Every mistake is a UsageError of one sentence. Knows no option by name, save those of a configuration file.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quantbench.errors import UsageError, unknown
from quantbench.settings.base import Settings, places_of
from quantbench.settings.option import (
    choices_of,
    element_of,
    facts_of,
    flag,
    spelling,
    type_of,
)
from quantbench.settings.yaml_file import read_yaml

Read = TypeVar("Read", bound=Settings)
TYPES = {"int_type": "int", "float_type": "float", "bool_type": "bool", "string_type": "str"}
LONGEST = 200  # characters of a list's entry


def merge_config(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of --config with those of the command line over them; both spellings of a key."""
    options = dict(given)
    path = options.get("config")
    if path is None:
        return options
    names = {spelling(name, p.field): name for name, p in places_of(settings).items() if _is_key(p.field)}
    merged: dict[str, Any] = {}
    for key, value in read_yaml(path).items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            raise UsageError(f"in '{path}': {unknown('key', key, sorted(names))}")
        if name in merged:
            raise UsageError(f"'{path}' holds '{key}' twice, spelled in two ways; remove one of them")
        if value is None:
            raise UsageError(f"'{key}' has no value in '{path}'; give it one or remove the key")
        merged[name] = value
    return merged | options


def _is_key(field: Any) -> bool:
    return not facts_of(field).command_line_only


def read_settings(settings: type[Read], options: Mapping[str, Any]) -> Read:
    """Options as settings, by name or as they are spelled for a user; lists may be written with commas.

    UsageError for an option that there is not, and for a value that cannot be meant.
    """
    known = places_of(settings)
    spelled = {spelling(name, place.field): name for name, place in known.items()}
    values: dict[str, Any] = {}
    for given, value in options.items():
        name = spelled.get(given, given)
        if name not in known:
            raise UsageError(unknown("option", given, spelled))
        values[name] = read_value(name, value, known[name].field)
    try:
        return settings.model_validate(values, strict=True)
    except ValidationError as error:
        raise UsageError(sentence_of(error.errors(), settings)) from error


def read_value(name: str, value: Any, field: Any) -> Any:
    """One option's value in its own type, where it may be written in another one."""
    kind = type_of(field)
    if value is None:
        return None
    if entry := element_of(kind):
        whole = rejoined(value) if facts_of(field).with_options else value
        return read_list(name, whole, entry)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return read_choice(name, value, kind)
    if kind is Path:
        if not isinstance(value, str | Path) or "\0" in str(value):
            raise UsageError(f"'{spelling(name)}' must be a path, not {shown(value)}; fix the configuration")
        if not str(value).strip():
            raise UsageError(f"'{spelling(name)}' is empty; give it a path or leave it out")
        return Path(value)
    if kind is str and isinstance(value, str) and (not value.strip() or "\0" in value):
        raise UsageError(f"'{spelling(name)}' is empty or holds a NUL; give it a value or leave it out")
    return value


def read_choice(name: str, value: Any, kind: type[Enum]) -> Enum:
    """The member of an enum with this value; UsageError names the nearest one."""
    if not isinstance(value, str):
        raise UsageError(f"'{spelling(name)}' must be of type str, not {shown(value)}; fix the configuration")
    try:
        return kind(value)
    except ValueError:
        choices = choices_of(kind) or []
        raise UsageError(unknown(spelling(name).replace("_", "-"), value, choices)) from None


def rejoined(value: Any) -> Any:
    """'a,b:x=1,y=2' as ['a', 'b:x=1,y=2']: a piece with '=' and no colon belongs to the name before it."""
    if not isinstance(value, str):
        return value
    entries: list[str] = []
    for piece in value.split(","):
        belongs = "=" in piece and ":" not in piece
        if belongs and entries:
            entries[-1] += f",{piece}"
        else:
            entries.append(piece)
    return entries


def read_list(name: str, value: Any, entry: Any) -> tuple[Any, ...]:
    """'a,b' or ['a', 'b'] as a tuple of its type; UsageError for repetitions and other types."""
    whole = value.split(",") if isinstance(value, str) else value
    parts = whole if isinstance(whole, list | tuple) else [whole]
    numbers = choices_of(entry) is None and entry is not str
    if not all(isinstance(part, str | int | float) and len(str(part)) < LONGEST for part in parts):
        raise UsageError(f"{flag(name)} takes a list of {'numbers' if numbers else 'names'}, nothing nested")
    texts = [str(part).strip() for part in parts if str(part).strip()]
    try:
        number = float if float in (entry, *get_args(entry)) else int
        values = tuple(number(text) for text in texts) if numbers else tuple(texts)
    except ValueError:
        raise UsageError(f"{flag(name)} takes whole numbers separated by commas, as in 1,8,64") from None
    for one in values:
        if values.count(one) > 1:
            raise UsageError(f"{flag(name)} names {one} twice; name it once")
    return tuple(read_choice(name, text, entry) for text in values) if choices_of(entry) else values


def shown(value: Any) -> str:
    """A scalar as it is written, of anything else its type: a nested value may be endless."""
    short = repr(value)[:40] if isinstance(value, str | bool | float) else ""
    return short or type(value).__name__


def sentence_of(errors: Iterable[ErrorDetails], settings: type[Settings]) -> str:
    """What is wrong with the first value that is, in one sentence that names the fix."""
    error = next(iter(errors))
    known = places_of(settings)
    name = next((str(part) for part in error["loc"] if part in known), None)
    kind, context = error["type"], error.get("ctx", {})
    if name is None:
        return str(context.get("error", error["msg"]))
    field = known[name].field
    if kind in TYPES:
        value = shown(error["input"])
        return f"'{spelling(name, field)}' must be of type {TYPES[kind]}, not {value}; fix the configuration"
    must = facts_of(field).must or _bound(kind, context, field)
    return f"{flag(name, field)} {must}" if kind == "too_short" else f"{flag(name, field)} must {must}"


def _bound(kind: str, context: Mapping[str, Any], field: Any) -> str:
    """The end of a sentence about a bound that was crossed."""
    if kind == "too_short":
        entry = element_of(type_of(field))
        choices = choices_of(entry)
        return (
            f"names none of: {', '.join(choices)}" if choices else "needs at least one number, as in 1,8,64"
        )
    if kind == "greater_than_equal":
        return f"be at least {context['ge']}"
    if kind == "less_than_equal":
        return f"be at most {context['le']}"
    return "be another value; see --help"
