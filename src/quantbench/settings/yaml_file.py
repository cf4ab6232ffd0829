"""Reads a configuration file: YAML that holds keys and values, each key once. Knows no option."""

from pathlib import Path
from typing import Any

import yaml

from quantbench.errors import UsageError

MOST_BYTES = 1_000_000


class OnceLoader(yaml.SafeLoader):
    """A safe loader that refuses a key that stands twice in a mapping; YAML's own silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping; ConstructorError with the place of a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if name and name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' stands twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping of names; UsageError with what is wrong, and the line, otherwise."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read the configuration '{path}' ({reason}); check --config") from error
    if len(raw) > MOST_BYTES:
        raise UsageError(f"'{path}' has more than {MOST_BYTES // 1000} kB; give --config a file of options")
    content = _parse(path, raw)
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"'{path}' must hold keys and values, as in `methods: fp16,int8,int4`")
    return content


def _parse(path: Path, raw: bytes) -> Any:
    try:
        return yaml.load(raw.decode("utf-8-sig"), OnceLoader)
    except UnicodeDecodeError as error:
        raise UsageError(f"'{path}' is not in UTF-8; save it in that encoding") from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 1}" if place else ""
        problem = getattr(error, "problem", None)
        what = f" ({problem})" if problem else ""
        raise UsageError(f"'{path}' is not valid YAML{where}{what}; fix it or leave --config out") from error
    except RecursionError as error:
        raise UsageError(f"'{path}' is nested too deeply; it takes keys and values alone") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # a date or number that is none
        raise UsageError(
            f"'{path}' holds a value that YAML cannot read ({str(error)[:80]}); fix it"
        ) from error
