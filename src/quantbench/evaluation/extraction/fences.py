"""Fenced blocks of Markdown in what a chat model answered.

As CommonMark has them: backticks or tildes, three or more, closed by as many or more of the same kind, inside
list items and quotations too, whose indentation is taken off. Unlike CommonMark, a fence inside a
triple-quoted string of Python is text of that string, not the block's end. An answer that starts with code is
a block without an opening fence: that one stood in the prompt, or there is none at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.evaluation.extraction.python_lines import quote_after

OPENING = re.compile(
    r"(?P<before>[ \t]*(?:>[ \t]?)*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)"
    r"(?P<fence>`{3,}+(?=[^`]*$)|~{3,}+)(?P<info>.*)$"
)
CLOSING = re.compile(r"[ \t>]*(?P<fence>`{3,}+|~{3,}+)[ \t]*$")
QUOTATION = re.compile(r"[ \t]*(?:>[ \t]?)+")
# How a text starts that is Python itself, without any prose before it.
CODE = re.compile(r"[ \t]+\S|@\w|\"{3}|'{3}|(?:async def|def|class|import|return) |from \S+ import ")
LEADING = "leading code"  # in place of a language
NOT_PYTHON = frozenset(
    "bash batch bat c cmd console cpp css diff html ini javascript java js json log makefile markdown md "  # noqa: SIM905
    "output powershell ps1 sh shell sql terminal text toml ts txt typescript xml yaml yml zsh".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What lies between two fences; `language` is the first word behind the opening one, in lower case."""

    language: str
    text: str


def find_blocks(text: str) -> list[Block]:
    """All blocks in order, by one or two passes over the text."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    blocks, number = [], 0
    reader = _Reader(lines)
    if CODE.match(first) and not OPENING.match(first):
        number = reader.end_of_code(0, "")
        blocks.append(Block(language=LEADING, text=_joined(lines, 0, number)))
        number += 1 if number < len(lines) and CLOSING.match(lines[number]) else 0
    while number < len(lines):
        opening = OPENING.match(lines[number])
        if opening:
            end = reader.end_of_code(number + 1, opening["fence"], _language(opening))
            blocks.append(_block(opening, lines, number + 1, end))
            number = end
        number += 1
    return blocks


class _Reader:
    """Finds where blocks end. Strings hide fences until one is met that does not close: then fences count."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._trusts_quotes = True

    def end_of_code(self, start: int, fence: str, language: str = "") -> int:
        """The number of the line with the fence that ends a block, or behind the last line.

        Any fence, an opening one too, ends leading code, for which `fence` is empty.
        """
        quote: str | None = None
        inside_string = None
        trusts = self._trusts_quotes and language not in NOT_PYTHON
        for number in range(start, len(self._lines)):
            line = self._lines[number]
            found = CLOSING.match(line) if fence else OPENING.match(line)
            if found and found["fence"].startswith(fence):
                if quote is None:
                    return number
                inside_string = number if inside_string is None else inside_string
            if trusts:
                quote = quote_after(line, quote)
        if quote is None or inside_string is None:
            return len(self._lines)
        self._trusts_quotes = False
        return inside_string


def _language(opening: re.Match[str]) -> str:
    words = opening["info"].strip(" \t{}.").lower().split()
    return words[0].rstrip("},:") if words else ""


def _joined(lines: Sequence[str], start: int, end: int) -> str:
    """Lines as text; the last line of all has no line feed of its own."""
    return "\n".join(lines[start:end]) + ("\n" if end < len(lines) and end > start else "")


def _block(opening: re.Match[str], lines: Sequence[str], start: int, end: int) -> Block:
    """The block without the indentation of its fence, be it of blanks, list marks or quotation marks."""
    before, inner = opening["before"], list(lines[start:end])
    if ">" in before:
        before, *inner = (QUOTATION.sub("", line, count=1) for line in [before, *inner])
    width = len(before)
    dedented = [line[min(width, len(line) - len(line.lstrip(" \t"))) :] for line in inner]
    text = _joined([*dedented, ""], 0, len(dedented)) if end < len(lines) else "\n".join(dedented)
    return Block(language=_language(opening), text=text)
