"""One checkpoint in two engines: what differs is said as the tests of the report have it."""

from typing import Any

import pytest

from quantbench.analysis import analyse
from quantbench.analysis.findings.engines import agreement_words
from quantbench.records import (
    Agreement,
    Distance,
    Memory,
    MemoryKind,
    Parting,
    ProblemDistance,
    Record,
    Served,
    Size,
    SpeedPoint,
)
from quantbench.report.blocks import Table
from quantbench.report.sections.engines import engine_sections
from tests.builders import make_record, make_trial


def record(engine: str, tpot_ms: float, *, own_ms: float | None = None, **more: Any) -> Record:
    """A record of 33 new tokens at batch 1, stored in an engine."""
    name = {"native": "quantbench"}.get(engine, engine)
    trial = make_trial(
        method="stored",
        model="m.gguf",
        engine=engine,
        row=f"stored @ {name}",
        batch_sizes=(1,),
        prompt_tokens=(8,),
        new_tokens=33,
    )
    times = tuple(32 * tpot_ms / 1000 * (1 + step / 1000) for step in range(8))
    own = () if own_ms is None else (32 * own_ms / 1000,) * 8
    point = SpeedPoint(
        batch_size=1,
        prompt_tokens=8,
        new_tokens=33,
        ttft_s=(0.1,) * 8,
        decode_s=times,
        server_ttft_s=() if own_ms is None else (0.09,) * 8,
        server_decode_s=own,
        round_of=(0, 0, 0, 0, 1, 1, 1, 1),
    )
    memory = Memory(kind=MemoryKind.CPU, process_bytes=more.pop("memory", 500_000_000))
    return make_record(trial).model_copy(update={"speed": (point,), "memory": memory, **more})


def served(**more: Any) -> Served:
    return Served(url="http://127.0.0.1:1", name="m", started=True, version="llama 1", **more)


def engines_of(*records: Record) -> Any:
    return analyse(list(records), records[0].method).engines


def test_a_large_difference_of_speed_is_real_and_named_with_both_engines() -> None:
    (pair,) = engines_of(record("native", 10), record("llama.cpp", 20, served=served())).pairs
    assert (pair.one, pair.other) == ("stored @ quantbench", "stored @ llama.cpp")
    assert pair.speed.startswith("0.50×")
    assert "a real difference" in pair.speed


def test_equal_speeds_are_not_told_to_differ() -> None:
    (pair,) = engines_of(record("native", 10), record("llama.cpp", 10.05, served=served())).pairs
    assert "a real difference" not in pair.speed


def test_a_missing_memory_is_not_known() -> None:
    other = record("llama.cpp", 10, served=served()).model_copy(update={"memory": None})
    (pair,) = engines_of(record("native", 10), other).pairs
    assert pair.memory == "not known: that of stored @ llama.cpp is missing"


@pytest.mark.parametrize(("own", "agrees"), [(9.9, True), (8.0, False), (None, None)])
def test_the_clients_time_is_held_against_the_servers_own(own: float | None, agrees: bool | None) -> None:
    (times,) = engines_of(record("llama.cpp", 10, own_ms=own, served=served())).servers
    assert times.agrees is agrees


def test_no_section_without_a_server_or_a_second_engine() -> None:
    assert list(engine_sections(analyse([record("native", 10)], "stored @ quantbench"))) == []


def test_the_section_shows_pairs_and_servers() -> None:
    records = [
        record("native", 10),
        record("llama.cpp", 20, own_ms=19.9, served=served(slots=1, context=256)),
    ]
    (section,) = engine_sections(analyse(records, "stored @ quantbench"))
    assert "1 slot of 256 positions" in str(section)
    assert "stored @ quantbench → stored @ llama.cpp" in str(section)
    assert "+0.8" in str(section) or "+0.9" in str(section)


def test_answers_that_part_are_told_with_their_margins() -> None:
    partings = (Parting(task_id="a", token=11, margin=0.2), Parting(task_id="b", token=30, margin=1.5))
    words = agreement_words(Agreement(row="x", task="humaneval", answers=40, identical=38, partings=partings))
    assert words == (
        "HumanEval: 38 of 40 identical; the other 2 part from token 12 on, 1 of 2 at a near tie (less than "
        "0.5 nats between both tokens), the clearest by 1.50 nats"
    )


def test_an_unknown_margin_is_no_near_tie() -> None:
    parting = Parting(task_id="a", token=3)
    words = agreement_words(Agreement(row="x", task="t", answers=2, identical=1, partings=(parting,)))
    assert words == "t: 1 of 2 identical; the other one parts from token 4 on; by what margin is not known"


@pytest.mark.parametrize(("kl", "doubted"), [(0.001, False), (2.0, True)])
def test_a_large_distance_between_engines_of_one_checkpoint_raises_a_doubt(kl: float, doubted: bool) -> None:
    problems = tuple(
        ProblemDistance(task_id=str(n), tokens=2, nll=1.0, baseline_nll=1.0, kl=(kl, kl * 1.1))
        for n in range(5)
    )
    distance = Distance(text="t", top_k=4, problems=problems)
    other = record("llama.cpp", 20, served=served(), distance=distance)
    baseline = record("native", 10, distance=distance)
    (pair,) = engines_of(baseline, other).pairs
    assert ("same model" in (pair.distance or "")) is doubted


def test_recommendations_name_the_method_and_the_engine() -> None:
    size = Size(weight_bytes=500_000_000, effective_bits=6.0)
    one = record("native", 10, size=size)
    other = record(
        "llama.cpp", 20, served=served(), size=size.model_copy(update={"weight_bytes": 400_000_000})
    )
    choices = {s.choice for s in analyse([one, other], one.method).recommendations if s.choice}
    assert choices
    assert choices <= {"stored @ quantbench", "stored @ llama.cpp"}


def test_the_diagnosis_of_a_served_row_is_made_of_its_own_evidence() -> None:
    facts = {"linear": "MarlinLinearKernel for W4A16", "KV cache": "1 token"}
    trial = record("vllm", 10, own_ms=9.9, served=served(facts=facts))
    more = trial.speed[0].model_copy(
        update={"batch_size": 4, "decode_s": tuple(1.5 * s for s in trial.speed[0].decode_s)}
    )
    swept = trial.model_copy(update={"speed": (trial.speed[0], more)})
    found = {entry.label: entry for entry in analyse([record("native", 10), swept], "stored").diagnoses}
    text = found["stored @ vllm"].text
    assert "A token takes 10 ms at the client, of which the server itself counts 9.9 ms." in text
    assert "With 4 requests at once in place of 1 a token of each takes 1.50 times as long." in text
    assert "Its log names linear: MarlinLinearKernel for W4A16." in text
    assert found["stored @ vllm"].cause is None
    assert "server" not in found["stored @ quantbench"].text


def test_the_cache_that_is_set_aside_and_the_one_in_use_are_both_told() -> None:
    memory = Memory(kind=MemoryKind.CPU, process_bytes=5_000_000_000, cache_bytes=12_000_000)
    other = record("vllm", 20, served=served(kv_pool_bytes=1 << 30)).model_copy(update={"memory": memory})
    (section,) = engine_sections(analyse([record("native", 10), other], "stored @ quantbench"))
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [column.title for column in table.columns][-2:] == ["Cache set aside", "Cache in use"]
    assert table.rows[0][-2:] == ("1.07 GB", "12 MB")
