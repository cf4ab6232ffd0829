"""Whole reports: the golden one, the hard cases, and the independence from torch.

After a wanted change of wording, QUANTBENCH_ACCEPT_GOLDEN=1 pytest tests/report/test_report.py writes the
golden file again; read its difference before committing it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quantbench.analysis import analyse
from quantbench.errors import StoreError
from quantbench.kernels import named_kernels
from quantbench.records import Completion, Failure, Outcome, Record
from quantbench.report import write_report
from quantbench.report.formats.markdown import render_markdown
from quantbench.report.sections import sections_of
from tests.report_records import (
    failed,
    full_record,
    other_trial,
    record,
    reference_records,
    speed_point,
    task_result,
)

GOLDEN = Path(__file__).parent / "golden" / "reference_report.md"
ALL = ("md", "html", "json", "csv")

# The parts of the reference report and what they stand on; other sections have tests of their own.
REFERENCE_PARTS = (
    "summary",
    "model",
    "methods",
    "score-humaneval",
    "analysis",
    "observations",
    "trade-offs",
    "conclusion",
    "pictures",
    "speed-detail",
    "storage",
    "measured",
    "caveats",
)


def markdown(records: list[Record], baseline: str = "fp16") -> str:
    return render_markdown("Report", sections_of(analyse(records, baseline)))


def test_the_references_figures_give_the_golden_report() -> None:
    sections = [s for s in sections_of(analyse(reference_records(), "fp16")) if s.key in REFERENCE_PARTS]
    text = render_markdown("Quantization benchmark: Qwen/Qwen2.5-0.5B", sections)
    if os.environ.get("QUANTBENCH_ACCEPT_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_all_parts_of_the_reference_are_there_in_its_order() -> None:
    keys = [s.key for s in sections_of(analyse(reference_records(), "fp16")) if s.key in REFERENCE_PARTS]
    assert keys == list(REFERENCE_PARTS)


def test_every_file_of_the_reference_is_written(tmp_path: Path) -> None:
    write_report(analyse(reference_records(), "fp16"), folder=tmp_path, formats=ALL)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "report.md",
        "model_size_comparison.png",
        "inference_speed_comparison.png",
        "memory_usage_comparison.png",
        "normalized_metrics_heatmap.png",
        "performance_tradeoffs.html",
        "results.json",
        "results.csv",
    }


def test_every_picture_that_the_report_names_exists(tmp_path: Path) -> None:
    write_report(analyse(reference_records(), "fp16"), folder=tmp_path, formats=("md",))
    text = (tmp_path / "report.md").read_text()
    named = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(named) == 5
    assert all((tmp_path / name).exists() for name in named)


def test_only_the_asked_formats_are_written(tmp_path: Path) -> None:
    write_report(analyse(reference_records(), "fp16"), folder=tmp_path, formats=("csv",))
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_folder_that_is_not_there_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        write_report(analyse(reference_records(), "fp16"), folder=tmp_path / "no", formats=("csv",))


def test_a_second_run_of_the_baseline_is_no_row_of_the_main_table() -> None:
    records = reference_records()
    text = markdown([*records, other_trial(records[0], role="floor", batch_size=31)])
    table = text.split("## Quantization methods")[1].split("\n\n")[1]
    assert len(table.splitlines()) == 2 + 3


def test_quickeval_never_looks_like_humaneval() -> None:
    quick = task_result(range(3), 20, task="quickeval", note="20 problems of our own")
    text = markdown([record("fp16", tasks=(quick,))])
    assert "## quickeval results" in text
    assert "HumanEval" not in text
    assert "Not comparable with published figures (20 problems of our own)" in text


def test_without_a_gpu_the_column_is_called_memory() -> None:
    text = markdown([record("fp16", device="cpu", speed=(speed_point(3.0),))])
    assert "| Memory (GB) |" in text
    assert "GPU" not in text


def test_missing_figures_are_dashes() -> None:
    records = reference_records()
    records[1] = record("int8", failure=Failure(stage="speed", kind="Error", message="no kernel"))
    assert "| int8 | — | — | — |" in markdown(records)


def several_completions() -> Record:
    completions = tuple(
        Completion(
            task_id=f"HumanEval/{number}",
            sample=sample,
            outcome=Outcome.PASSED if (number + sample) % 3 == 0 else Outcome.FAILED,
            finish_reason="eos",
            tokens=3,
        )
        for number in range(20)
        for sample in range(10)
    )
    return full_record("fp16", 1, 40, 1, task_result((), completions=completions, temperature=0.8))


def test_several_completions_give_a_column_of_pass_at_10() -> None:
    text = markdown([several_completions()])
    assert "| Method | Pass@1 | Pass@10 | Passed | 95 % interval |" in text


def swept(rate: float, method: str) -> Record:
    points = [speed_point(rate * b, batch_size=b, prompt_tokens=p) for p in (128, 2048) for b in (1, 8)]
    return other_trial(record(method, speed=tuple(points)), batch_sizes=(1, 8), prompt_tokens=(128, 2048))


def test_a_sweep_has_a_table_a_prompt_length() -> None:
    text = markdown([swept(40.0, "fp16"), swept(80.0, "int4")])
    assert "Prompt of 128 tokens:" in text
    assert "| int4 | 80.0, 30.0 ms | 640, 30.0 ms |" in text


def hard_cases() -> dict[str, list[Record]]:
    reference = reference_records()
    two_tasks = [
        r.model_copy(update={"tasks": (*r.tasks, task_result(range(5), 20, task="quickeval"))})
        for r in reference
    ]
    return {
        "one method": reference[:1],
        "no tasks": [r.model_copy(update={"tasks": ()}) for r in reference],
        "all failed": [failed(r) for r in reference],
        "baseline failed": [failed(reference[0]), *reference[1:]],
        "no baseline": reference[1:],
        "nothing measured": [record("fp16")],
        "only some measured": [reference[0], record("int8", tasks=(task_result(range(3)),)), record("int4")],
        "several tasks": two_tasks,
        "several completions": [several_completions()],
        "sweep": [swept(40.0, "fp16"), swept(80.0, "int4")],
        "names": [full_record("größe|*[x]($)<b>", 0.01, 4000, 0.02, range(3)), reference[0]],
        "equal": [full_record(name, 1, 40, 1, range(50)) for name in ("fp16", "int8")],
        "zero score": [full_record(name, size, 40, 1, ()) for name, size in (("fp16", 1), ("int8", 0.5))],
    }


@pytest.mark.parametrize("case", list(hard_cases()))
def test_every_hard_case_gives_a_report(case: str, tmp_path: Path) -> None:
    records = hard_cases()[case]
    write_report(analyse(records, "fp16"), folder=tmp_path, formats=("json", "csv"))
    text = markdown(records)
    assert "## Summary" in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


@pytest.mark.parametrize("case", ["one method", "only some measured", "names"])
def test_hard_cases_give_pictures(case: str, tmp_path: Path) -> None:
    write_report(analyse(hard_cases()[case], "fp16"), folder=tmp_path, formats=("md",))
    assert len(list(tmp_path.glob("*.png"))) >= 4


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "triton", "pandas"} or name == "plotly.express":
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
from pathlib import Path
from rich.console import Console
from quantbench.analysis import analyse
from quantbench.report import print_tables, write_report
from tests.report_records import reference_records

assert not {"matplotlib", "plotly", "scipy"} & sys.modules.keys(), "imported before anything is drawn"
records = reference_records()
write_report(analyse(records, "fp16"), folder=Path(sys.argv[1]), formats=("md", "html", "json", "csv"))
print_tables(analyse(records, "fp16"), Console(width=80))
"""


def test_a_machine_without_torch_renders_everything(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "HumanEval results" in done.stdout
    assert (tmp_path / "performance_tradeoffs.html").stat().st_size > 400_000


def test_batch_invariance_stands_among_the_settings_and_not_among_the_kernels() -> None:
    kernels = tuple(named_kernels({"linear": "own", "batch invariance": "on: one order of sums"}))
    text = markdown([r.model_copy(update={"kernels": kernels}) for r in reference_records()])
    assert "- **Batch invariance**: on: one order of sums" in text
    assert "| fp16 | quantbench | linear: own |" in text
