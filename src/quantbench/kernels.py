"""What ran which operation: how decoders say it, records keep it and reports show it."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Kernel(BaseModel):
    """What runs one kind of operation, or what is promised of it, in a few words to be shown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    operation: str  # 'linear', 'decode step', 'batch invariance'
    name: str
    max_batch: Annotated[int, Field(ge=0)] | None = None  # rows up to which it runs; None is any number
    reason: str | None = None  # why no faster one runs, as a phrase

    @property
    def title(self) -> str:
        """The operation as a table names it."""
        return self.operation if self.max_batch is None else f"{self.operation}, up to {self.max_batch} rows"


def find_kernel(kernels: Iterable[Kernel], operation: str, rows: int = 1) -> Kernel | None:
    """The first kernel of an operation that takes so many rows."""
    return next(
        (k for k in kernels if k.operation == operation and (k.max_batch is None or rows <= k.max_batch)),
        None,
    )


def named_kernels(names: Mapping[str, str]) -> list[Kernel]:
    """Operation -> name, as kernels for any number of rows."""
    return [Kernel(operation=operation, name=name) for operation, name in names.items()]


def read_kernel(operation: str, text: str) -> dict[str, Any]:
    """A kernel as version 1 told it, where the most rows and the reason were part of its words."""
    if operation == "fallback":
        return {"operation": operation, "name": "plain torch", "reason": text.removeprefix("plain torch: ")}
    few = re.fullmatch(r"(.*), up to (\d{1,9}) rows", operation)
    if few is None:
        return {"operation": operation.removesuffix(", more rows"), "name": text}
    name, _, reason = text.partition("as for more rows: ")
    told = {"name": name} if name else {"name": "as for more rows", "reason": reason}
    return {"operation": few[1], "max_batch": int(few[2]), **told}


def listed_kernels(kernels: Any) -> Any:
    """A record's kernels; version 1 of it had a dictionary of names by operation."""
    if not isinstance(kernels, Mapping):
        return kernels
    return [read_kernel(str(operation), str(text)) for operation, text in kernels.items()]


Kernels = Annotated[tuple[Kernel, ...], BeforeValidator(listed_kernels)]
