"""From settings classes to commands: every parameter of a command comes from a field."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from quantbench.errors import UsageError
from quantbench.settings.base import Settings, places_of
from quantbench.settings.option import element_of, facts_of, flag, help_of, type_of
from quantbench.settings.reading import read_settings
from quantbench.settings.sweep_file import merge_files

Asked = TypeVar("Asked", bound=Settings)
AS_JSON = "as_json"
JSON_HELP = "Print one JSON document and nothing else. [default: off]"
OPTION = "_option"  # ends the name of what may be given as an argument, too


def command_of(
    settings: type[Asked], summary: str | None, act: Callable[[Asked, bool], int]
) -> Callable[..., int]:
    """A function with a parameter for each option of `settings`, as typer reads them.

    It reads what was given as settings and hands them to `act`, with whether --json was given.
    """

    def command(**given: Any) -> int:
        as_json = bool(given.pop(AS_JSON))
        named = one_each(settings, {name: value for name, value in given.items() if value is not None})
        options = merge_files(settings, named)
        return act(read_settings(settings, options), as_json)

    parameters = list(parameters_of(settings))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = summary
    return command


def one_each(settings: type[Settings], given: dict[str, Any]) -> dict[str, Any]:
    """What was given by name or as an argument, by the option's name; UsageError for both."""
    for name, place in places_of(settings).items():
        if facts_of(place.field).also_argument and name + OPTION in given:
            if name in given:
                raise UsageError(f"the {name} is given twice; leave out {flag(name)} or the argument")
            given[name] = given.pop(name + OPTION)
    return given


def parameters_of(settings: type[Settings]) -> Iterator[inspect.Parameter]:
    """One parameter an option, arguments first; --json is every command's last."""
    fields = {name: place.field for name, place in places_of(settings).items()}
    for name, field in fields.items():
        if facts_of(field).argument or facts_of(field).also_argument:
            given = typer.Argument(help=help_of(field), show_default=False)
            yield _parameter(name, _argument_kind(field), given, required=field.is_required())
    for name, field in fields.items():
        if not facts_of(field).argument:
            named = name + OPTION if facts_of(field).also_argument else name
            made = typer.Option(*_flags(name, field), help=help_of(field), show_default=False)
            yield _parameter(named, _kind(field), made)
    yield _parameter(AS_JSON, bool, typer.Option("--json", help=JSON_HELP, show_default=False), default=False)


def _parameter(
    name: str, kind: Any, given: Any, *, default: Any = None, required: bool = False
) -> inspect.Parameter:
    annotation: Any = Annotated[kind, given]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else default,
        annotation=annotation,
    )


def _argument_kind(field: Any) -> Any:
    """Of what is given without its name: a list is as many arguments as there are."""
    return list[str] | None if element_of(type_of(field)) else _kind(field)


def _kind(field: Any) -> Any:
    """The type that typer is to read; what it cannot read well (lists, choices) comes as text."""
    kind = type_of(field)
    known = kind if kind in (int, float, bool, str, Path) else str
    return known if field.is_required() else known | None


def _flags(name: str, field: Any) -> tuple[str, ...]:
    long = flag(name, field)
    if type_of(field) is bool and field.default is True:
        long = f"{long}/--no-{long.removeprefix('--')}"
    short = facts_of(field).short
    return (long, short) if short else (long,)
