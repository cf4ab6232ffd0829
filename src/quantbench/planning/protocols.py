"""Which protocols the tasks are asked by, decided before anything is loaded."""

from quantbench.errors import UsageError
from quantbench.evaluation.prompts import AUTO, CHAT, COMPLETION, asked_by, read_chat
from quantbench.settings import RunSettings
from quantbench.sources import ModelSource, load_tokenizer
from quantbench.tasks import Task


def resolve_protocols(settings: RunSettings, source: ModelSource, tasks: tuple[Task, ...]) -> tuple[str, ...]:
    """The names without 'auto', each once; an error for one that a task or the model cannot be asked by.

    A chat's template is tried on each task's first problem.
    """
    tokenizer = load_tokenizer(source) if tasks else None
    if tokenizer is None:
        return (COMPLETION,)
    check_chat(settings.evaluation.protocols, tasks)
    chat = read_chat(source, tokenizer)
    names = (chat.kind if name == AUTO else name for name in settings.evaluation.protocols)
    chosen = tuple(dict.fromkeys(names))
    for task in tasks:
        for way in asked_by(task, chosen, chat):
            way.protocol.prompt(task.problems[0])
    return chosen


def check_chat(names: tuple[str, ...], tasks: tuple[Task, ...]) -> None:
    """UsageError for a chat that was asked for by name where no task has one."""
    chats = [way for task in tasks for way in task.protocols or (task.protocol,) if way.is_chat]
    if CHAT in names and not chats:
        which = " and ".join(task.name for task in tasks)
        raise UsageError(f"{which} cannot be asked in a chat; leave --protocols out, or use completion")
