"""The texts of benchmarks/quality.py: two kinds, in windows, half of them to choose by and half to report.

By default code is the interpreter's own standard library and prose the reference that ships with it, so that
nothing is downloaded; their hash stands in the table, since another Python has other texts.
"""

import hashlib
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODULES = (
    "argparse",
    "ast",
    "configparser",
    "difflib",
    "heapq",
    "inspect",
    "smtplib",
    "statistics",
    "tarfile",
)
CHARACTERS = 6  # of text for each token wanted: more than any tokenizer at hand needs


class Half(StrEnum):
    """What a window's tokens are for."""

    CHOOSE = "choose"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Consecutive tokens of one text."""

    kind: str
    half: Half
    token_ids: tuple[int, ...]


def default_texts() -> dict[str, str]:
    """Kind -> text, from the interpreter's standard library."""
    from pydoc_data.topics import topics

    library = Path(sysconfig.get_path("stdlib"))
    code = "\n\n".join((library / f"{name}.py").read_text() for name in MODULES)
    prose = "\n\n".join(text for _, text in sorted(topics.items()) if len(text) > 2000)
    return {"code": code, "prose": prose}


def read_texts(pairs: Sequence[str]) -> dict[str, str]:
    """Kind -> text of KIND=FILE pairs; the default texts where there are none."""
    if not pairs:
        return default_texts()
    named = (pair.partition("=") for pair in pairs)
    return {kind: Path(path).read_text() for kind, _, path in named}


def cut_windows(
    texts: Mapping[str, str], tokenizer: "Tokenizer", *, tokens: int, window: int
) -> tuple[Window, ...]:
    """About `tokens` predictions in all, as many of each kind and half; windows take turns between halves.

    Windows of a kind lie apart over the whole text, so that neighbours do not repeat each other.
    """
    each = max(1, round(tokens / len(texts) / 2 / (window - 1)))  # windows of a kind and half
    found: list[Window] = []
    for kind, text in texts.items():
        ids = tokenizer.encode(text[: 40 * CHARACTERS * tokens]).ids
        step = len(ids) // (2 * each)
        if step < window:
            raise SystemExit(
                f"the text '{kind}' has {len(ids)} tokens, too few for {2 * each} windows of {window}"
            )
        for number in range(2 * each):
            half = Half.CHOOSE if number % 2 else Half.REPORT
            piece = tuple(ids[number * step : number * step + window])
            found.append(Window(kind=kind, half=half, token_ids=piece))
    return tuple(found)


def digest(windows: Sequence[Window]) -> str:
    """What tells these token ids from others."""
    return hashlib.sha256(repr([w.token_ids for w in windows]).encode()).hexdigest()[:16]
