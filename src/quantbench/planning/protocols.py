"""Which protocols the tasks are asked by, decided before anything is loaded."""

from quantbench.evaluation.prompts import AUTO, COMPLETION, asked_by, read_chat
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
    chat = read_chat(source, tokenizer)
    names = (chat.kind if name == AUTO else name for name in settings.evaluation.protocols)
    chosen = tuple(dict.fromkeys(names))
    for task in tasks:
        for way in asked_by(task, chosen, chat):
            way.protocol.prompt(task.problems[0])
    return chosen
