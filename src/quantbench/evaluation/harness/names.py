"""How a task of lm-eval is called: 'lm-eval:arc_easy', with 5 examples 'lm-eval:arc_easy@5'.

'lm-eval-chat:' asks in the model's chat template, as lm-eval's --apply_chat_template does.
"""

from dataclasses import dataclass

from quantbench.errors import TaskError
from quantbench.settings.harness_names import CHAT_PREFIX, is_harness


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessName:
    """A task, a group or a tag of lm-eval, and how it is asked."""

    label: str  # the whole name
    task: str
    chat: bool
    shots: int | None  # examples in the prompt; None as the task has it


def parse_name(label: str) -> HarnessName:
    """'lm-eval-chat:gsm8k@5' in its parts; TaskError for one that names no task or no number."""
    assert is_harness(label)
    prefix, _, rest = label.partition(":")
    task, at, shots = rest.partition("@")
    if not task or (at and not (shots.isascii() and shots.isdigit() and int(shots) <= 1000)):
        raise TaskError(f"'{label}' names no task of lm-eval; write {prefix}:arc_easy or {prefix}:arc_easy@5")
    return HarnessName(
        label=label, task=task, chat=label.startswith(CHAT_PREFIX), shots=int(shots) if at else None
    )
