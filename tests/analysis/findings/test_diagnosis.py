"""Known answers: synthetic steps whose cause is known, and steps whose cause no experiment shows."""

from collections.abc import Callable

import pytest

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.diagnosis import Cause, Diagnosis, diagnose_rows
from quantbench.kernels import Kernel, named_kernels
from quantbench.records import Bandwidth, Record, Size, SpeedPoint
from quantbench.report.sections.speed import speed_table
from tests.report_records import SPREAD, other_trial, record, reference_records

Step = Callable[[int, float], float]  # rows, context -> seconds
WEIGHTS = 900_000_000
MEMORY = Bandwidth(read_bytes_per_s=1e12, step_bytes_per_s=1e12, method="test")  # the weights take 0.9 ms
CACHE = Bandwidth(read_bytes_per_s=1e12, step_bytes_per_s=5e12, method="test")  # 0.18 ms


def point(step: Step, rows: int, prompt: int, new: int = 33, spread: float = 1.0) -> SpeedPoint:
    seconds = step(rows, prompt + new / 2) * (new - 1)
    return SpeedPoint(
        batch_size=rows,
        prompt_tokens=prompt,
        new_tokens=new,
        ttft_s=(0.01,) * len(SPREAD),
        decode_s=tuple(seconds * (1 + spread * (part - 1)) for part in SPREAD),
        kv_bytes=1,
        step_weight_bytes=WEIGHTS,
    )


def stepped(step: Step, bandwidth: Bandwidth = MEMORY, *, spread: float = 1.0, **sections: object) -> Record:
    facts: dict[str, object] = {
        "bandwidth": bandwidth,
        "speed": (point(step, 1, 128, spread=spread),),
        "experiments": (point(step, 4, 128, spread=spread), point(step, 1, 512, spread=spread)),
    }
    return record("fp16", **(facts | sections))


def diagnosed(made: Record) -> Diagnosis:
    (entry,) = diagnose_rows(read_results([made], "fp16"))
    return entry


def share(entry: Diagnosis, name: str) -> float:
    assert entry.parts is not None
    part = getattr(entry.parts, name)
    return float(part.seconds / entry.parts.step.seconds)


def reads(rows: int, context: float) -> float:
    return 1.0e-3 + rows * 1e-5


def arithmetic(rows: int, context: float) -> float:
    return 0.3e-3 + rows * 2e-3


def attends(rows: int, context: float) -> float:
    return 0.5e-3 + rows * context * 1e-5


def waits(rows: int, context: float) -> float:
    return 4e-3


def overlaps(rows: int, context: float) -> float:
    """One row hides behind reading, more do not."""
    return max(0.9e-3, rows * 0.8e-3)


@pytest.mark.parametrize(
    ("step", "bandwidth", "cause"),
    [
        (reads, MEMORY, Cause.MEMORY),
        (lambda rows, context: 0.2e-3 + rows * 1e-6, CACHE, Cause.CACHE),
        (arithmetic, MEMORY, Cause.ROWS),
        (arithmetic, CACHE, Cause.ROWS),
        (attends, MEMORY, Cause.CONTEXT),
        (waits, MEMORY, None),
        (overlaps, MEMORY, None),
    ],
)
def test_a_cause_is_named_where_an_experiment_shows_it(
    step: Step, bandwidth: Bandwidth, cause: Cause | None
) -> None:
    entry = diagnosed(stepped(step, bandwidth))
    assert entry.cause is cause
    assert (f"bound by {cause}" in entry.text) is (cause is not None)


def test_parts_are_those_that_the_step_was_made_of() -> None:
    entry = diagnosed(stepped(lambda rows, context: 2e-3 + rows * (1e-3 + context * 1e-5), spread=0.0))
    total = 3e-3 + 144.5e-5
    assert share(entry, "rows") == pytest.approx(1e-3 / total, rel=1e-6)
    assert share(entry, "context") == pytest.approx(144.5e-5 / total, rel=1e-6)
    assert share(entry, "rest") == pytest.approx(1.1e-3 / total, rel=1e-6)


def test_weights_in_a_cache_that_are_not_read_at_its_speed_are_no_bandwidths_fault() -> None:
    # 79 % of the memory's bandwidth, but a fifth of what a buffer of that size is read with
    entry = diagnosed(stepped(lambda rows, context: 0.9e-3 / 0.79, CACHE))
    assert entry.cause is None
    assert "16 %" in entry.text and "a cache holds them" in entry.text


def test_launches_are_never_blamed_for_what_is_left() -> None:
    text = diagnosed(stepped(waits)).text
    assert "no single cause was shown" in text and "What would help" not in text
    assert "the rest, which neither rows nor context change, 78 %" in text


def test_without_experiments_no_cause_is_named() -> None:
    entry = diagnosed(stepped(arithmetic, experiments=()))
    assert entry.cause is None
    assert "Not measured: the work of the row and attention over the context." in entry.text


def test_scattered_experiments_name_no_cause() -> None:
    assert diagnosed(stepped(arithmetic)).cause is Cause.ROWS
    assert diagnosed(stepped(arithmetic, spread=100.0)).cause is None


def test_disturbed_experiments_count_for_nothing() -> None:
    busy = tuple(
        p.model_copy(update={"queue_share": (0.5,) * len(SPREAD)})
        for p in (point(arithmetic, 4, 128), point(arithmetic, 1, 512))
    )
    assert diagnosed(stepped(arithmetic, experiments=busy)).cause is None


def test_points_of_the_sweep_are_experiments_too() -> None:
    sweep = (point(arithmetic, 1, 128), point(arithmetic, 8, 128))
    assert diagnosed(stepped(arithmetic, speed=sweep, experiments=())).cause is Cause.ROWS


def test_a_probe_that_was_outrun_is_said_and_shown_as_no_percentage() -> None:
    made = stepped(lambda rows, context: 0.76e-3 + rows * 1e-6)  # 118 % of the limit
    entry = diagnosed(made)
    assert entry.cause is Cause.MEMORY
    assert "the step outran the probe, which is therefore no limit" in entry.text
    assert "11" not in entry.text.split("outran")[0].split("takes 900")[-1]
    (cells,) = speed_table(read_results([made], "fp16").rows).rows
    assert "> 100 % (probe outrun)" in cells


def test_kernel_kept_layers_and_stages_are_named() -> None:
    size = Size(weight_bytes=1, effective_bits=8, quantized_parameters=300, kept_parameters=100)
    stages = {"down": 0.1, "attention": 0.5, "output": 0.3, "norm": 0.1}
    text = diagnosed(stepped(reads, size=size, stages=stages)).text
    assert "multiplied by torch.mm" in text
    assert "25 % of its matrix parameters stayed at 16 bits" in text
    assert "attention 50 %, output 30 % and down 10 %" in text


def test_without_a_bandwidth_what_bounds_it_is_not_known() -> None:
    entry = diagnosed(stepped(reads, bandwidth=None))
    assert entry.parts is None and "not known" in entry.text


def test_every_reference_method_has_one_line_and_none_a_cause() -> None:
    entries = diagnose_rows(read_results(reference_records(), "fp16"))
    assert [entry.label for entry in entries] == ["fp16", "int8", "int4"]
    assert all(entry.cause is None for entry in entries)


@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_same_figures_have_the_same_cause_on_every_device(device: str) -> None:
    assert diagnosed(other_trial(stepped(reads), device=device)).cause is Cause.MEMORY


@pytest.mark.parametrize(("rows", "kernel"), [(4, "one kernel a step"), (0, "tensor cores")])
def test_a_kernel_of_few_rows_is_named_where_it_ran(rows: int, kernel: str) -> None:
    few = Kernel(operation="decode step", name="one kernel a step", max_batch=rows)
    kernels = (*named_kernels({"linear": "tensor cores"}), few)
    assert f"multiplied by {kernel}" in diagnosed(stepped(reads, kernels=kernels)).text


@pytest.mark.parametrize(("rows", "kernel"), [(16, "CUDA C++"), (0, "tensor cores")])
def test_a_step_that_fell_back_is_not_what_multiplied(rows: int, kernel: str) -> None:
    few = Kernel(operation="linear of few rows", name="CUDA C++", max_batch=rows)
    step = Kernel(operation="decode step", name="seven kernels a layer", max_batch=4, reason="mixed formats")
    kernels = (*named_kernels({"linear": "tensor cores"}), few, step)
    assert f"multiplied by {kernel}." in diagnosed(stepped(reads, kernels=kernels)).text
