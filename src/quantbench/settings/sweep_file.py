"""Reads the file of a sweep: options of `run`, models, and what is added to or taken from their product.

    models: [Qwen/Qwen2.5-0.5B, Qwen/Qwen2.5-1.5B]
    methods: [fp16, int8, int4]
    tasks: [humaneval]
    batch_sizes: [1, 8]
    exclude:
      - {model: Qwen/Qwen2.5-1.5B, method: int8}
    include:
      - {model: builtin, methods: [fp16, int4], tasks: [quickeval]}

Every mistake names the line and the key. What the names stand for is looked up by the planning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quantbench.errors import UsageError, unknown
from quantbench.settings.base import Settings, places_of
from quantbench.settings.option import facts_of, spelling
from quantbench.settings.reading import merge_config, read_settings
from quantbench.settings.run import RunSettings
from quantbench.settings.yaml_file import read_yaml

DIMENSIONS = {
    "model": "models",
    "method": "methods",
    "task": "tasks",
    "batch_size": "batch_sizes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An entry of `include` or `exclude`: of each dimension what it names, None where it names nothing."""

    where: str  # "'sweep.yaml', line 9, 'exclude'"
    models: tuple[str, ...] | None = None
    methods: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    batch_sizes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFile:
    """A sweep as it was written."""

    options: dict[str, Any]  # of RunSettings, by name
    include: tuple[Cell, ...] = ()
    exclude: tuple[Cell, ...] = ()
    path: Path
    lines: Mapping[tuple[Any, ...], int]

    def where(self, key: str, entry: int | None = None) -> str:
        """A key's place, or that of an entry of its list: "'sweep.yaml', line 2, 'methods'"."""
        line = self.lines.get((key, entry), self.lines.get((key,)))
        return f"'{self.path}', line {line}, '{key}'" if line else f"'{self.path}'"


def read_sweep(path: Path) -> SweepFile:
    """The file; UsageError with the line and the key of the first mistake."""
    try:
        content = read_yaml(path)
    except UsageError as error:  # said of the option that named the file
        raise UsageError(str(error).replace("--config", "--plan")) from error
    lines = lines_of(path)
    cells = {
        kind: tuple(
            read_cell(kind, entry, f"'{path}', line {lines.get((kind, number), lines[(kind,)])}, '{kind}'")
            for number, entry in enumerate(as_list(path, lines, kind, content.pop(kind, [])))
        )
        for kind in ("include", "exclude")
    }
    options: dict[str, Any] = {}
    for key, value in content.items():
        where = f"'{path}', line {lines[(key,)]}, '{key}'"
        options |= read_key(key, value, where)
    if not options.keys() & {"model", "models"} and not cells["include"]:
        raise UsageError(f"'{path}' names no models; add `models: [...]`")
    return SweepFile(options=options, **cells, path=path, lines=lines)


def read_key(key: str, value: Any, where: str) -> dict[str, Any]:
    """One option of the file by its name, as `run` takes it; the first of several models stands apart."""
    names = {spelling(name, place.field): name for name, place in _options().items()}
    name = names.get(key.replace("-", "_"))
    if name is None:
        known = sorted(set(names) - {"model"} | {"include", "exclude"})
        raise UsageError(f"{where}: {unknown('key', key, known)}")
    if value is None:
        raise UsageError(f"{where} has no value; give it one or remove the key")
    found = _read(RunSettings, {name: value}, where)
    if name != "models":
        return {name: value}
    if not found.models:
        raise UsageError(f"{where} names no model")
    first, *others = found.models
    return {"model": first, "models": tuple(others)}


def _options() -> dict[str, Any]:
    """The options of `run` that a sweep's file may hold."""
    return {n: p for n, p in places_of(RunSettings).items() if not facts_of(p.field).command_line_only}


def read_cell(kind: str, entry: Any, where: str) -> Cell:
    """One entry of `include` or `exclude`."""
    if not isinstance(entry, Mapping) or not entry:
        raise UsageError(f"{where} takes entries as {{model: NAME, method: int4}}")
    plural = {**DIMENSIONS, **{name: name for name in DIMENSIONS.values()}}
    values: dict[str, Any] = {}
    for key, value in entry.items():
        name = plural.get(str(key).replace("-", "_"))
        if name is None:
            raise UsageError(f"{where}: {unknown('key', str(key), DIMENSIONS)}")
        if name in values or value is None:
            raise UsageError(f"{where}: '{key}' must be given once, with a value")
        values[name] = value
    if kind == "include" and "models" not in values:
        raise UsageError(f"{where}: an entry of include names its model")
    read = _read(RunSettings, values, where).flat()
    return Cell(where=where, **{name: read[name] for name in values})


def as_list(path: Path, lines: Mapping[Any, int], kind: str, value: Any) -> list[Any]:
    """The entries of `include` or `exclude`."""
    if not isinstance(value, list):
        raise UsageError(f"'{path}', line {lines[(kind,)]}, '{kind}' must be a list of entries")
    return value


def _read(settings: type[RunSettings], values: dict[str, Any], where: str) -> RunSettings:
    try:
        return read_settings(settings, values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def lines_of(path: Path) -> dict[tuple[Any, ...], int]:
    """The 1-based line of each key, and of each entry of a key's list: ('exclude',), ('exclude', 0)."""
    root = yaml.compose(path.read_bytes().decode("utf-8-sig"), Loader=yaml.SafeLoader)
    found: dict[tuple[Any, ...], int] = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        found[(key.value,)] = key.start_mark.line + 1
        if isinstance(value, yaml.SequenceNode):
            found |= {(key.value, n): entry.start_mark.line + 1 for n, entry in enumerate(value.value)}
    return found


def merge_files(settings: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of --plan or --config with those of the command line over them."""
    if given.get("plan") is None:
        return merge_config(settings, given)
    if given.get("config") is not None:
        raise UsageError("--plan and --config are both given; put the options of one into the other")
    return read_sweep(Path(given["plan"])).options | dict(given) | {"own_baselines": True}
