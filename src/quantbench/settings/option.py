"""What an option is: one field of a settings class, with its sentence, default, bounds and what it needs.

The command line, the configuration file, the Python API, a Trial and its record all read these fields;
nothing else lists options.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

ALWAYS = object()  # the option was there from the first trial on


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an option has beside its type, sentence, default and bounds."""

    shown: str | None = None  # the default in words, where the value leaves it open
    needs: tuple[str, ...] = ()  # conditions of planning.unused without which it would change nothing
    must: str | None = None  # what its value must be, in place of the sentence made of its bounds
    spelled: str | None = None  # on the command line, where that is not the name
    short: str | None = None  # '-o'
    argument: bool = False  # given without its name
    also_argument: bool = False  # given with or without its name; a list takes all arguments left
    command_line_only: bool = False  # no key of a configuration file
    with_options: bool = False  # a list whose entries may carry options: 'a,b:x=1,y=2' has two
    before: Any = ALWAYS  # of an option that came later: what trials before it did


def option(default: Any, sentence: str, *, facts: Facts | None = None, **bounds: Any) -> Any:
    """A field that is an option; `...` as default makes it required, `bounds` are those of pydantic's Field.

    `sentence` says in `--help` what the option does.
    """
    extra: Any = {"option": facts or Facts()}
    return Field(default, description=sentence, json_schema_extra=extra, **bounds)


def facts_of(field: FieldInfo) -> Facts:
    """The facts of a field; a field that is no option has none to speak of."""
    extra = field.json_schema_extra
    found: Any = extra.get("option") if isinstance(extra, dict) else None
    return found if isinstance(found, Facts) else Facts()


class OptionPlace(NamedTuple):
    """Where an option lies in a settings class: its group (None is the class itself) and its field."""

    group: str | None
    field: FieldInfo


def places(settings: type[BaseModel]) -> dict[str, OptionPlace]:
    """Every field by its name, those of nested groups in the group's place; TypeError for a name twice."""
    found: dict[str, OptionPlace] = {}
    for name, place in _walk(settings):
        if name in found:
            raise TypeError(f"{settings.__name__} has two options '{name}'; give one another name")
        found[name] = place
    return found


def _walk(settings: type[BaseModel]) -> Iterator[tuple[str, OptionPlace]]:
    for name, field in settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((inner, OptionPlace(name, place.field)) for inner, place in places(kind).items())
        else:
            yield name, OptionPlace(None, field)


def type_of(field: FieldInfo) -> Any:
    """The field's type without None: int, str, an enum, or tuple[int, ...]."""
    kind = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    return kind


def element_of(kind: Any) -> Any:
    """The type of a list's entries; None for what is no list."""
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def choices_of(kind: Any) -> list[str] | None:
    """The values of an enum in their order; None for another type."""
    return (
        [str(member.value) for member in kind] if isinstance(kind, type) and issubclass(kind, Enum) else None
    )


def spelling(name: str, field: FieldInfo | None = None) -> str:
    """An option's name for a user: `speed_budget` for `speed_budget_s`, whose unit the sentence says."""
    return (facts_of(field).spelled if field else None) or name.removesuffix("_s")


def flag(name: str, field: FieldInfo | None = None) -> str:
    """An option as the command line spells it: `--speed-budget`."""
    return "--" + spelling(name, field).replace("_", "-")


def written(value: Any) -> str:
    """A value as a user would write it: lists with commas, switches as on and off."""
    if isinstance(value, tuple):
        return ",".join(written(item) for item in value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def help_of(field: FieldInfo) -> str:
    """The help of one option: its sentence and its default."""
    if field.is_required():
        return str(field.description)
    shown = facts_of(field).shown
    return f"{field.description} [default: {written(field.default) if shown is None else shown}]"
