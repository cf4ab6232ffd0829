"""What a family of problems is, and how one member becomes a prompt and its solution.

A family is a template over slots (blocks). A member is a family with one block chosen for each slot; its
body is fixed by that choice alone. The phrasing (name, docstring, argument names, examples) is drawn.
Templates use {slot} for English and constants, {slot[x]} for code on x, @a, @b, @c for the arguments.
"""

import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from training.arguments import Kind
from training.blocks import Block, Worded

INDENT = "    "
DOC_WIDTH = 84


def _any_choice(chosen: dict[str, Block]) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """`allows` refuses meaningless choices of blocks."""

    name: str
    names: tuple[str, ...]
    takes: tuple[Kind, ...]
    returns: str
    slots: dict[str, tuple[Block, ...]]
    docs: tuple[str, ...]
    body: str
    examples: tuple[int, ...] = (1, 2, 2, 3)  # how many there may be
    weight: float = 1.0
    allows: Callable[[dict[str, Block]], bool] = _any_choice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A family and its parameters."""

    family: Family
    chosen: dict[str, Block]

    @property
    def key(self) -> str:
        """Family and parameters as text."""
        return self.family.name + "(" + ", ".join(f"{k}={b.name}" for k, b in self.chosen.items()) + ")"

    @property
    def body(self) -> str:
        """The canonical body with placeholder argument names, not indented."""
        plain = {slot: Worded(block, block.words[0]) for slot, block in self.chosen.items()}
        return self.family.body.strip("\n").format(**plain)

    @property
    def hints(self) -> tuple[int | str, ...]:
        return tuple(hint for block in self.chosen.values() for hint in block.hints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One problem with its answer; `phrasing` names every choice of words."""

    key: str
    phrasing: str
    entry_point: str
    prompt: str
    solution: str


def draw_member(family: Family, rng: random.Random) -> Member:
    """A member with blocks drawn uniformly among those the family allows."""
    while True:
        chosen = {slot: rng.choice(blocks) for slot, blocks in family.slots.items()}
        if family.allows(chosen):
            return Member(family=family, chosen=chosen)


@lru_cache(maxsize=4096)
def _compiled(source: str) -> Any:
    return compile(source, "<member>", "exec")


def reference(member: Member) -> Callable[..., Any]:
    """The member's function, for computing expected values."""
    return function_of(member.body, len(member.family.takes))


def function_of(body: str, arguments: int) -> Callable[..., Any]:
    """A function from a body with placeholder argument names."""
    names = "abc"[:arguments]
    for name in names:
        body = body.replace(f"@{name}", f"{name}_")
    source = f"def f({', '.join(n + '_' for n in names)}):\n" + textwrap.indent(body, INDENT)
    space: dict[str, Any] = {}
    exec(_compiled(source), space)
    return space["f"]  # type: ignore[no-any-return]


def phrase(member: Member, rng: random.Random) -> Example:
    """One way to put the member into words, with one to three computed examples."""
    family = member.family
    worded = {slot: Worded(block, rng.choice(block.words)) for slot, block in member.chosen.items()}
    template = rng.randrange(len(family.docs))
    name = rng.choice(family.names).format(**worded)
    arguments = _argument_names(family, rng)
    doc = _insert(family.docs[template].format(**worded), arguments)
    calls = _examples(member, name, rng)
    layout = rng.randrange(len(_LAYOUTS))
    signature = ", ".join(f"{a}: {k.annotation}" for a, k in zip(arguments, family.takes, strict=True))
    prompt = f"def {name}({signature}) -> {family.returns}:\n" + _LAYOUTS[layout](doc, calls)
    words = ",".join(str(w) for w in worded.values())
    return Example(
        key=member.key,
        phrasing=f"{template}|{name}|{','.join(arguments)}|{layout}|{words}",
        entry_point=name,
        prompt=prompt,
        solution=textwrap.indent(_insert(member.body, arguments), INDENT) + "\n",
    )


def _argument_names(family: Family, rng: random.Random) -> list[str]:
    names: list[str] = []
    for kind in family.takes:
        names.append(rng.choice([name for name in kind.names if name not in names]))
    return names


def _insert(text: str, arguments: list[str]) -> str:
    for letter, name in zip("abc", arguments, strict=False):
        text = text.replace(f"@{letter}", name)
    return text


def _examples(member: Member, name: str, rng: random.Random) -> list[str]:
    function = reference(member)
    lines = []
    for _ in range(rng.choice(member.family.examples)):
        for _attempt in range(3):  # rather not an example with an empty answer
            values = [kind.draw(rng, member.hints, 5) for kind in member.family.takes]
            if answer := function(*values):
                break
        shown = ", ".join(repr(value) for value in values)
        lines += [f">>> {name}({shown})", repr(answer)]
    return lines


def _below(doc: str, calls: list[str]) -> str:
    lines = textwrap.wrap(doc, DOC_WIDTH - 4)
    lines[0] = '"""' + lines[0]
    return textwrap.indent("\n".join([*lines, "", *calls, '"""']), INDENT, lambda line: line != "\n") + "\n"


def _spaced(doc: str, calls: list[str]) -> str:
    lines = textwrap.wrap(doc, DOC_WIDTH - 4)
    lines[0] = '""" ' + lines[0]
    return textwrap.indent("\n".join([*lines, *calls, '"""']), INDENT) + "\n"


def _apart(doc: str, calls: list[str]) -> str:
    lines = ['"""', *textwrap.wrap(doc, DOC_WIDTH - 4), *calls, '"""']
    return textwrap.indent("\n".join(lines), INDENT) + "\n"


_LAYOUTS: tuple[Callable[[str, list[str]], str], ...] = (_below, _spaced, _apart)
