"""What a report is made of, before it has a format: sections of text, bullets, tables and pictures.

Texts are plain. Markdown, the terminal and any page render the same blocks.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A paragraph that must not be missed; red where there are colours."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullet:
    """One item; `lead` stands before it, emphasised."""

    text: str
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[Bullet, ...]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    number: bool = True  # figures stand right-aligned


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, one tuple a row, as many as there are columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to be shown as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image beside the report, or a page to open."""

    file: str
    caption: str


Block = Text | Alert | Bullets | Table | Code | Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """`key` is stable, for links and tests; a level-3 section belongs to the level-2 one before it.

    A detail is for whoever asks how a figure came about: it stands behind all that is not, and folds.
    """

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    level: int = 2
    detail: bool = False
