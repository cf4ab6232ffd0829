"""What is held how: each method's matrices by kind, their format and bytes, and what multiplies them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from quantbench.analysis import Analysis
from quantbench.analysis.formatting import MISSING, significant
from quantbench.records import HeldKind
from quantbench.report.blocks import Column, Section, Table, Text

Held = Sequence[tuple[str, Sequence[HeldKind]]]  # method -> its matrices by kind

LEGEND = (
    "Read from the loaded model after its first run. Bits: stored bits per parameter, scales and zero points "
    "included, as held in memory, which may differ from the file's. Kinds that are held alike share a row; "
    "in brackets the number of matrices."
)
STORAGE = ("Group", "Parameters", "Bits", "Bytes")
KERNELS = ("New tokens", "Prompts")


def audit_section(analysis: Analysis) -> Iterator[Section]:
    """Two tables, where any record has an account of its matrices."""
    held = [(row.label, row.record.storage) for row in analysis.results.rows if row.record.storage]
    if held:
        blocks = (storage_table(held), kernel_table(held), Text(LEGEND))
        yield Section(key="audit", title="What is held how", blocks=blocks)


def storage_table(held: Held) -> Table:
    """How many bytes, a row for each format of a method."""
    columns = [Column(title, number=False) for title in ("Method", "Matrices", "Format")]
    columns += [Column(title) for title in STORAGE]
    return Table(tuple(columns), tuple(cells for label, kinds in held for cells in _storage(label, kinds)))


def kernel_table(held: Held) -> Table:
    """What multiplies the matrices, a row for each kernel of a method."""
    columns = tuple(Column(title, number=False) for title in ("Method", "Matrices", *KERNELS))
    rows = []
    for label, kinds in held:
        for (kernel, prompt_kernel), alike in gathered(kinds, lambda k: (k.kernel, k.prompt_kernel)):
            if any(kind.matrices for kind in alike):
                rows.append((label, names_of(alike), kernel, prompt_kernel))
    return Table(columns, tuple(rows))


def _storage(label: str, kinds: Sequence[HeldKind]) -> Iterator[tuple[str, ...]]:
    for (form, group), alike in gathered(kinds, lambda kind: (kind.format, kind.group_size)):
        parameters, nbytes = sum(kind.parameters for kind in alike), sum(kind.nbytes for kind in alike)
        yield (
            label,
            names_of(alike),
            form,
            MISSING if group is None else str(group),
            f"{parameters:,}",
            significant(8 * nbytes / max(1, parameters)),
            f"{nbytes:,}",
        )


def gathered(
    kinds: Sequence[HeldKind], way: Callable[[HeldKind], tuple[Any, ...]]
) -> list[tuple[tuple[Any, ...], list[HeldKind]]]:
    """Kinds that are alike in a way, in order of appearance."""
    found: dict[tuple[Any, ...], list[HeldKind]] = {}
    for kind in kinds:
        found.setdefault(way(kind), []).append(kind)
    return list(found.items())


def names_of(kinds: Sequence[HeldKind]) -> str:
    """'q (24), k (24), norms, biases'."""
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind.module] = counts.get(kind.module, 0) + kind.matrices
    return ", ".join(f"{module} ({count})" if count else module for module, count in counts.items())
