"""Which names of tasks are lm-eval's."""

PREFIX, CHAT_PREFIX = "lm-eval:", "lm-eval-chat:"


def is_harness(name: str) -> bool:
    """Whether a task is one of lm-eval's."""
    return name.startswith((PREFIX, CHAT_PREFIX))
