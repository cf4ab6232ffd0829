"""The report in examples/ is the one that its records give."""

import shutil
from pathlib import Path

import quantbench

EXAMPLE = Path(__file__).parents[2] / "examples" / "qwen2.5-coder-0.5b"
MOST_BYTES = 3_000_000


def test_the_example_can_be_rendered_again_with_its_figures(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLE, tmp_path / "example")
    shown = tables_of((folder / "report.md").read_text())
    quantbench.load(folder).write(("md",))
    assert tables_of((folder / "report.md").read_text()) == shown
    assert any("90/164" in line for line in shown)


def tables_of(text: str) -> list[str]:
    """The lines of the first tables: size, speed, memory, pass@1."""
    head = text.split("## Performance analysis")[0]
    return [line for line in head.splitlines() if line.startswith("|")]


def test_the_example_is_small() -> None:
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*") if path.is_file()) <= MOST_BYTES
