"""A command's answer on standard output: text for people, or one JSON document and nothing else."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich.console import Console


class Output:
    """Where an answer goes, and in which of the two forms."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        self.console = console
        self.as_json = as_json

    def give(self, document: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """Write the document, or what `show` prints of it."""
        if self.as_json:
            self.console.file.write(json.dumps(plain(document), indent=1, allow_nan=False) + "\n")
            self.console.file.flush()
        else:
            show(self.console)


def plain(value: Any) -> Any:
    """A value as strict JSON has it: dataclasses as objects, tuples as lists, what is not finite as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
