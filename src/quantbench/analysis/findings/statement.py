"""A sentence of the report with what it names, so that it can be tested and shown anywhere."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """Plain text, no markup."""

    title: str
    text: str
    choice: str | None = None  # the method that is named; None where the figures name none
    tied: tuple[str, ...] = ()  # methods not significantly different from the choice
