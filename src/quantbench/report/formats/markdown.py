"""Sections as Markdown (GitHub's dialect). Knows nothing of what they say."""

import re
from collections.abc import Iterable

from quantbench.report.blocks import Alert, Block, Bullet, Bullets, Code, Image, Section, Table, Text

# What Markdown would take for markup; an underscore inside a word is not.
MARKUP = re.compile(r"[\\`*|]|<(?=[A-Za-z/!?])|(?<=\])\(|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


DETAILS = "---\n\n*Details: the evidence behind the figures, and how they were measured.*"


def render_markdown(title: str, sections: Iterable[Section]) -> str:
    """A whole document; a line stands between the report's parts and their details."""
    parts = [f"# {escape(title)}"]
    folded = False
    for section in sections:
        if section.detail and not folded:
            parts.append(DETAILS)
            folded = True
        parts.append(f"{'#' * section.level} {escape(section.title)}")
        parts += [render_block(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def render_block(block: Block) -> str:
    """One block, without a trailing newline."""
    match block:
        case Text(text):
            return escape(text)
        case Alert(text):
            return f"> [!CAUTION]\n> {escape(text)}"
        case Bullets(items):
            return "\n".join(_bullet(item) for item in items)
        case Table():
            return _table(block)
        case Code(text):
            return f"```\n{text.replace('```', '` ` `')}\n```"
        case Image(file, caption):
            return _picture(file, caption)


def escape(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    return MARKUP.sub(lambda found: "\\" + found.group(), " ".join(text.split()))


def _bullet(item: Bullet) -> str:
    return f"- **{escape(item.lead)}**: {escape(item.text)}" if item.lead else f"- {escape(item.text)}"


def _table(table: Table) -> str:
    titles = [column.title for column in table.columns]
    rules = ["---:" if column.number else "---" for column in table.columns]
    lines = [[escape(cell) for cell in row] for row in (titles, *table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rules, *lines[1:]))


def _picture(file: str, caption: str) -> str:
    if file.endswith(".png"):
        return f"![{escape(caption)}]({file})"
    return f"[{escape(caption)}]({file})"
