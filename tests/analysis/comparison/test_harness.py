"""lm-eval's tasks between methods: the test by the metric's kind, paired item by item, corrected together."""

import math
from collections.abc import Sequence

import pytest

from quantbench.analysis import analyse
from quantbench.analysis.comparison.harness import HarnessScore, HarnessVerdict, harness_scores
from quantbench.analysis.comparison.rows import read_results
from quantbench.harness_record import Aggregation, HarnessMetric, HarnessResult
from quantbench.report.formats.markdown import render_markdown
from quantbench.report.sections import sections_of
from quantbench.report.sections.harness import pair_cells, value_cell
from quantbench.stats import mcnemar_exact
from tests.builders import make_record, make_trial

ITEMS = tuple(f"arc/{number}" for number in range(60))
RIGHT = [float(number % 2) for number in range(60)]
WORSE = [0.0 if number < 40 else value for number, value in enumerate(RIGHT)]


def metric(values: Sequence[float], kind: Aggregation = Aggregation.MEAN, **changes: object) -> HarnessMetric:
    fields = {"name": "acc", "value": 0.5, "higher_is_better": True, "aggregation": kind, "values": values}
    return HarnessMetric(**fields | changes)


def result(*metrics: HarnessMetric, items: Sequence[str] = ITEMS, digest: str = "d") -> HarnessResult:
    return HarnessResult(
        task="lm-eval:arc", version="lm-eval 0", data_sha256=digest, items=items, metrics=metrics
    )


def scores(*results: HarnessResult) -> list[HarnessScore]:
    """The second method's, beside the first one, the baseline."""
    records = [
        make_record(make_trial(method=method)).model_copy(update={"harness": (one,)})
        for method, one in zip(("fp16", "int8", "int4"), results, strict=False)
    ]
    found = harness_scores(read_results(records, "fp16"))
    return [score for score in found if not score.is_baseline]


def test_right_and_wrong_is_compared_by_mcnemars_test() -> None:
    (score,) = scores(result(metric(RIGHT)), result(metric(WORSE)))
    assert score.pair is not None
    assert (score.pair.won, score.pair.lost, score.pair.test) == (0, 20, "exact McNemar")
    assert score.pair.p == mcnemar_exact(0, 20)
    assert score.verdict is HarnessVerdict.WORSE


def test_shares_of_items_are_compared_by_a_paired_t_test() -> None:
    better = [value / 2 + 0.3 + 0.001 * number for number, value in enumerate(RIGHT)]
    (score,) = scores(result(metric([value / 2 for value in RIGHT])), result(metric(better)))
    assert score.pair is not None and score.pair.interval is not None
    assert score.pair.test == "paired t"
    assert score.pair.change == pytest.approx(0.3295)
    assert score.pair.interval.contains(0.3295) and not score.pair.interval.contains(0.3)
    assert score.verdict is HarnessVerdict.BETTER


def test_a_perplexity_is_told_as_a_ratio_over_the_same_words() -> None:
    words = [10.0 + number for number in range(60)]
    base = [-3.0 * count for count in words]
    pairs = list(zip(base, words, strict=True))
    lower = [value - 0.1 * count * (1 + number % 2) for number, (value, count) in enumerate(pairs)]
    kind = {"kind": Aggregation.PERPLEXITY, "higher_is_better": False, "weights": words}
    (score,) = scores(result(metric(base, **kind)), result(metric(lower, **kind)))
    assert score.pair is not None
    expected = math.exp(-(sum(lower) - sum(base)) / sum(words))
    assert score.pair.change == pytest.approx(expected) and expected > 1
    assert score.pair.won is None
    assert score.verdict is HarnessVerdict.WORSE
    assert pair_cells(score)[4].startswith("x 1.1")


def test_bits_have_a_difference() -> None:
    kind = {"kind": Aggregation.BITS, "higher_is_better": False}
    lower = [-1.0 - 0.01 * (number % 3) for number in range(60)]
    (score,) = scores(result(metric([-1.0] * 60, **kind)), result(metric(lower, **kind)))
    assert score.pair is not None
    assert score.pair.change == pytest.approx(0.01 / math.log(2))


def test_p_values_are_corrected_over_all_methods_and_metrics() -> None:
    slightly = [0.0 if number < 12 else value for number, value in enumerate(RIGHT)]
    other = metric(RIGHT, name="acc_norm")
    found = scores(
        result(metric(RIGHT), other), result(metric(slightly), other), result(metric(RIGHT), other)
    )
    first = found[0].pair
    assert first is not None and first.p == mcnemar_exact(0, 6)
    assert first.p < 0.05 < first.adjusted_p  # type: ignore[operator]
    assert found[0].verdict is HarnessVerdict.UNDECIDED


@pytest.mark.parametrize(
    "other",
    [
        result(metric(RIGHT), digest="another"),
        result(metric(RIGHT), items=ITEMS[::-1]),
        result(metric((), Aggregation.OTHER)),
        result(metric(RIGHT, weights=[2.0] * 60)),
    ],
)
def test_other_data_items_or_weights_are_not_compared(other: HarnessResult) -> None:
    (score,) = scores(result(metric(RIGHT)), other)
    assert score.pair is None and score.verdict is HarnessVerdict.UNPAIRED


def test_too_few_items_have_no_p_value() -> None:
    values = [0.5, 0.25, 0.75]
    (score,) = scores(
        result(metric(values), items=ITEMS[:3]), result(metric([0.1, 0.2, 0.3]), items=ITEMS[:3])
    )
    assert score.pair is not None and score.pair.p is None
    assert score.verdict is HarnessVerdict.UNPAIRED


def test_a_metric_without_a_better_direction_is_only_different() -> None:
    (score,) = scores(
        result(metric(RIGHT, higher_is_better=None)), result(metric(WORSE, higher_is_better=None))
    )
    assert score.verdict is HarnessVerdict.DIFFERENT


def test_values_stand_with_their_intervals() -> None:
    (score,) = scores(result(metric(RIGHT)), result(metric(RIGHT)))
    assert value_cell(score) == "0.500 [0.377, 0.623]"
    assert score.verdict is HarnessVerdict.UNDECIDED


def test_the_report_has_lm_evals_figures_and_which_differences_are_real() -> None:
    asked = {"limit": 60, "shots": 5}
    records = [
        make_record(make_trial(method=method)).model_copy(update={"harness": (one.model_copy(update=asked),)})
        for method, one in (("fp16", result(metric(RIGHT))), ("int4", result(metric(WORSE))))
    ]
    shown = render_markdown("t", sections_of(analyse(records, "fp16")))
    assert "## lm-eval:arc results" in shown
    assert "acc ↑" in shown
    assert "not comparable with published figures" in shown
    assert "Which differences from fp16 on lm-eval's tasks are real" in shown
    assert "| worse |" in shown
    assert "No task was run" not in shown
