"""How answers failed, a table a task: what a method's lost problems were lost to."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.comparison.anatomy import Anatomy, Ending
from quantbench.analysis.figures.scores import task_title
from quantbench.report.blocks import Bullet, Bullets, Column, Section, Table, Text

LEGEND = (
    "Each answer is counted once, by what came first: an answer that met the length limit is cut, however "
    "its program failed; then one in which no code (or number) was found; then how the program ended. A "
    "wrong answer is a failed assertion; an exception may come from the program or from its test."
)


def anatomy_sections(analysis: Analysis) -> Iterator[Section]:
    """One section a task; left out where no outcome is known."""
    for task in dict.fromkeys(entry.task for entry in analysis.anatomies):
        entries = [entry for entry in analysis.anatomies if entry.task == task]
        lost = tuple(Bullet(entry.sentence) for entry in entries if entry.sentence)
        kinds = tuple(Bullet(text, entry.label) for entry in entries if (text := exceptions(entry)))
        yield Section(
            key=f"anatomy-{task}",
            title=f"How answers to {task_title(task)} failed",
            blocks=(
                anatomy_table(entries),
                *((Bullets(lost),) if lost else ()),
                *((Text("Exceptions by kind:"), Bullets(kinds)) if kinds else ()),
                Text(LEGEND),
            ),
        )


def anatomy_table(entries: list[Anatomy]) -> Table:
    """A row a method, a column an ending that occurred."""
    endings = [end for end in Ending if any(entry.endings.get(end) for entry in entries)]
    columns = (Column("Method", number=False), *(Column(end.capitalize()) for end in endings))
    rows = tuple((entry.label, *(str(entry.endings.get(end, 0)) for end in endings)) for entry in entries)
    return Table(columns, rows)


def exceptions(entry: Anatomy) -> str:
    """'NameError 3, TypeError 1'."""
    return ", ".join(f"{kind} {count}" for kind, count in entry.exceptions.items())
