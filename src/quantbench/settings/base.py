"""What all settings have in common: frozen values, nested in groups, that may be given flat by name."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from quantbench.settings.option import OptionPlace, help_of, places, spelling


class Settings(BaseModel):
    """Frozen, validated values; every option has one name, whichever group it lies in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _group(cls, data: Any) -> Any:
        return nested(cls, data) if isinstance(data, Mapping) else data

    def changed(self, **values: Any) -> Self:
        """The same settings with other values, by the options' names; KeyError for a name that is none.

        Values are taken as they are: they come from code, not from a user.
        """
        groups = self.groups()
        whole = {name: value for name, value in values.items() if name in type(self).model_fields}
        for name, value in values.items():
            if name not in whole:
                group = next((key for key, inner in groups.items() if name in type(inner).model_fields), None)
                if group is None:
                    raise KeyError(f"{type(self).__name__} has no option '{name}'")
                groups[group] = whole[group] = groups[group].model_copy(update={name: value})
        return self.model_copy(update=whole)

    def groups(self) -> dict[str, "Settings"]:
        """The nested settings by the group's name."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, Settings)}

    def flat(self) -> dict[str, Any]:
        """Every value by its option's name, groups opened."""
        groups = self.groups()
        found = {name: getattr(self, name) for name in type(self).model_fields if name not in groups}
        for group in groups.values():
            found |= group.flat()
        return found

    @property
    def given(self) -> frozenset[str]:
        """The options that were named; the others are defaults."""
        names: set[str] = set()
        for name in self.model_fields_set:
            value = getattr(self, name)
            names |= value.given if isinstance(value, Settings) else {name}
        return frozenset(names)


@cache
def places_of(settings: type[Settings]) -> dict[str, OptionPlace]:
    """`places`, looked up once for each class."""
    return places(settings)


def nested(settings: type[Settings], data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Values by name, each in its group; ValueError where a group is given both whole and in parts."""
    found: dict[Any, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in data.items():
        place = places_of(settings).get(name)
        if place is None or place.group is None:
            found[name] = value
        else:
            parts.setdefault(place.group, {})[name] = value
    if both := found.keys() & parts.keys():
        raise ValueError(f"'{min(both)}' is given whole and in parts; give it once")
    return found | parts


def options_text(settings: type[Settings]) -> str:
    """Every option with its help, a line each."""
    known = places_of(settings).items()
    return "\n".join(f"    {spelling(name, place.field)}: {help_of(place.field)}" for name, place in known)
