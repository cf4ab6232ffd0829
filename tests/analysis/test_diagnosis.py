import pytest

from quantbench.analysis.diagnosis import Bound, Diagnosis, diagnose_rows
from quantbench.analysis.rows import read_results
from quantbench.records import Bandwidth, Record, Size
from tests.report_records import other_trial, record, reference_records, speed_point

READ = Bandwidth(read_bytes_per_s=1e12, method="test")  # 0.9 GB and 2.4 MB a step take 0.9024 ms


def timed(
    method: str, tokens_per_s: float, *, ttft_s: float = 0.001, step_bytes: int = 900_000_000
) -> Record:
    point = speed_point(tokens_per_s, ttft_s=ttft_s).model_copy(update={"step_weight_bytes": step_bytes})
    return record(method, bandwidth=READ, speed=(point,))


def diagnosed(*records: Record) -> dict[str, Diagnosis]:
    return {entry.label: entry for entry in diagnose_rows(read_results(list(records), "fp16"))}


def test_step_that_is_mostly_reading_is_bound_by_bandwidth() -> None:
    step = diagnosed(timed("fp16", 900.0))["fp16"].step
    assert step is not None
    assert step.bound is Bound.BANDWIDTH
    assert step.bandwidth_share == pytest.approx(0.812, abs=1e-3)


def test_step_far_from_both_limits_is_bound_by_launches() -> None:
    entry = diagnosed(timed("fp16", 50.0))["fp16"]
    assert entry.step is not None and entry.step.bound is Bound.LAUNCHES
    assert "5 % of the limit of 1,108 tokens/s" in entry.text


def test_more_than_the_measured_bandwidth_is_not_hidden() -> None:
    assert "That is more than the measured bandwidth" in diagnosed(timed("fp16", 1500.0))["fp16"].text


def test_on_a_cpu_no_launches_are_blamed() -> None:
    step = diagnosed(other_trial(timed("fp16", 50.0), device="cpu"))["fp16"].step
    assert step is not None and step.bound is Bound.OVERHEAD


def test_token_that_costs_as_much_as_one_of_the_prompt_is_bound_by_arithmetic() -> None:
    # 128 prompt tokens in 2 s are 15.6 ms a token, of which a step of 20 ms is most.
    entry = diagnosed(timed("fp16", 50.0, ttft_s=2.0))["fp16"]
    assert entry.step is not None and entry.step.bound is Bound.ARITHMETIC
    assert "1.3 times what one of the prompt costs" in entry.text


def test_slower_method_with_fewer_bytes_is_explained() -> None:
    found = diagnosed(timed("fp16", 900.0), timed("int8", 400.0, step_bytes=450_000_000))
    assert "slower than fp16 here because reading is shorter by 450 µs a step while" in found["int8"].text


def test_methods_within_the_noise_are_not_explained() -> None:
    found = diagnosed(timed("fp16", 900.0), timed("int8", 900.0))
    assert "here because" not in found["int8"].text


def test_kernel_and_kept_layers_are_named() -> None:
    size = Size(weight_bytes=1, effective_bits=8, quantized_parameters=300, kept_parameters=100)
    entry = diagnosed(timed("int8", 900.0).model_copy(update={"size": size}))["int8"]
    assert "multiplied by w8a16_gemv" in entry.text
    assert "25 % of its matrix parameters stayed at 16 bits" in entry.text


def test_without_a_bandwidth_the_cause_is_not_known() -> None:
    bare = timed("fp16", 900.0).model_copy(update={"bandwidth": None})
    entry = diagnosed(bare)["fp16"]
    assert entry.step is None and "not known" in entry.text


def test_every_reference_method_has_one_line() -> None:
    assert list(diagnosed(*reference_records())) == ["fp16", "int8", "int4"]


@pytest.mark.parametrize(("rows", "kernel"), [(4, "one kernel a step"), (0, "tensor cores")])
def test_a_kernel_of_few_rows_is_named_where_it_ran(rows: int, kernel: str) -> None:
    kernels = {"linear": "tensor cores", f"decode step, up to {rows} rows": "one kernel a step"}
    entry = diagnosed(timed("fp16", 50.0).model_copy(update={"kernels": kernels}))["fp16"]
    assert f"multiplied by {kernel}" in entry.text
