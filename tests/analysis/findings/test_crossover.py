from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.crossover import Crossover, Side, crossovers
from quantbench.records import Record
from tests.report_records import record, speed_point


def swept(method: str, rates: dict[int, float]) -> Record:
    return record(method, speed=tuple(speed_point(rate, batch_size=batch) for batch, rate in rates.items()))


def crossover(own: dict[int, float], reference: dict[int, float]) -> tuple[Crossover, ...]:
    return crossovers(read_results([swept("fp16", reference), swept("int4", own)], "fp16"))


def test_batch_from_which_a_method_loses_is_found() -> None:
    (found,) = crossover({1: 80.0, 8: 500.0, 64: 1500.0}, {1: 40.0, 8: 300.0, 64: 2000.0})
    assert found.batch_size == 64
    assert found.text == "faster at batch 1 and 8, slower at batch 64"


def test_batch_from_which_a_method_wins_is_found() -> None:
    (found,) = crossover({64: 3000.0, 1: 30.0}, {1: 40.0, 64: 2000.0})
    assert found.batch_size == 64


def test_method_that_always_wins_has_no_crossover() -> None:
    (found,) = crossover({1: 80.0, 8: 500.0}, {1: 40.0, 8: 300.0})
    assert found.batch_size is None


def test_batch_within_the_noise_is_no_crossover() -> None:
    (found,) = crossover({1: 80.0, 8: 300.0}, {1: 40.0, 8: 300.0})
    assert found.sides == ((1, Side.WINS), (8, Side.EVEN))
    assert found.batch_size is None


def test_single_batch_size_says_nothing() -> None:
    assert crossover({1: 80.0}, {1: 40.0}) == ()
