"""What lines of Python text tell: where triple-quoted strings are, what is defined and returned.

Works on text that is cut off or wrong in other places, in linear time, and never runs or parses it.
"""

import functools
import re
from collections.abc import Iterable, Sequence

TRIPLE = ('"""', "'''")
# An escape, a comment, a triple quote, or a whole string on the line; an apostrophe in prose is none of them.
TOKEN = re.compile(r"""\\.|#|\"{3}|'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""")
CLOSING = {quote: re.compile(rf"(?:[^\\]|\\.)*?{quote}") for quote in TRIPLE}
RETURN = re.compile(r"(?:^|[:;=])\s*(?:return|yield)\b")
FUNCTION = re.compile(r"\s*(?:async\s+)?def\s")


def quote_after(line: str, quote: str | None) -> str | None:
    """The triple quote whose string is open behind a line, given the one that is open before it."""
    position = 0
    while True:
        if quote:
            found = CLOSING[quote].match(line, position)
            if found is None:
                return quote
            quote = None
        else:
            found = TOKEN.search(line, position)
            if found is None or found.group() == "#":
                return None
            quote = found.group() if found.group() in TRIPLE else None
        position = found.end()


def code_lines(lines: Iterable[str]) -> list[str]:
    """The lines that do not begin inside a triple-quoted string."""
    kept: list[str] = []
    quote: str | None = None
    for line in lines:
        if quote is None:
            kept.append(line)
        quote = quote_after(line, quote)
    return kept


@functools.lru_cache(maxsize=1)
def definition_of(name: str) -> re.Pattern[str]:
    """Matches the line that binds this name at the top of a module."""
    escaped = re.escape(name)
    return re.compile(rf"(?:async\s+def|def|class)\s+{escaped}\b|{escaped}\s*(?::[^=]+)?=(?!=)")


def defines(code: Sequence[str], name: str) -> bool:
    """Whether lines of code bind a name at the top of their module."""
    pattern = definition_of(name)
    return any(pattern.match(line) for line in code)


def is_finished(code: Sequence[str], name: str) -> bool:
    """Whether the definition of a name returns something: one that does not is mostly a stub to be filled."""
    pattern = definition_of(name)
    start = next(number for number, line in enumerate(code) if pattern.match(line))
    if not FUNCTION.match(code[start]) or RETURN.search(code[start]):
        return True
    body = code[start + 1 :]
    end = next(
        (number for number, line in enumerate(body) if line[:1] not in ("", " ", "\t", ")", "#")), None
    )
    return any(RETURN.search(line) for line in body[:end])


def is_body(code: Sequence[str]) -> bool:
    """Whether code can only stand inside a function: it returns at its margin, or outside any definition."""
    for line in code:
        if FUNCTION.match(line):
            return any(re.match(r"(?:return|yield)\b", other) for other in code)
        if RETURN.search(line):
            return True
    return False


def indented(lines: Sequence[str], by: str) -> list[str]:
    """Lines of code moved to the right; what lies inside triple-quoted strings stays."""
    moved: list[str] = []
    quote: str | None = None
    for line in lines:
        moved.append(by + line if quote is None and line.strip() else line)
        quote = quote_after(line, quote)
    return moved
