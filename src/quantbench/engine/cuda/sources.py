"""CUDA C++ in one piece for the run-time compiler, which has no folders to look for parts in."""

import re
from functools import cache
from importlib.resources import files

INCLUDE = re.compile(r'^#include "(\w+\.cuh)"\n', re.MULTILINE)
PACKAGES = tuple(f"quantbench.engine.cuda.{part}" for part in ("persistent", "few_rows", "decode_attention"))


@cache
def joined_source(name: str) -> str:
    """A kernel's file with each part that it includes where that is first needed."""
    joined: set[str] = set()

    def join(part: str) -> str:
        if part in joined:
            return ""
        joined.add(part)
        return INCLUDE.sub(lambda found: join(found[1]), _text(part).replace("#pragma once\n", ""))

    return join(name)


def _text(name: str) -> str:
    """Of the one file of that name."""
    places = (files(package) / name for package in PACKAGES)
    return next(place for place in places if place.is_file()).read_text()
