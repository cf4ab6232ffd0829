"""The built-in model as shipped: its files, and its score through the real pipeline."""

import json
from collections.abc import Iterator

import pytest
import torch
from training.corpus import PROMPT, SOLUTION, make_chunk

from quantbench.evaluation.evaluate import evaluate
from quantbench.methods import METHODS, LoadSettings
from quantbench.sandbox.pool import open_sandbox
from quantbench.settings import GenerationSettings
from quantbench.sources import BUILTIN_FOLDER, eos_ids, load_tokenizer, open_source
from quantbench.stats import wilson_interval
from quantbench.tasks.quickeval import load_quickeval

TRAINED_SCORE = 142 / 164  # the model card's, at the end of training


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices on a busy machine: threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_has_at_most_eight_million_parameters() -> None:
    source = open_source("builtin")
    assert 1_000_000 < sum(source.tensor(name).numel() for name in source.names()) <= 8_000_000


def test_its_weights_are_float16_and_at_most_16_mb() -> None:
    source = open_source("builtin")
    assert {source.tensor(name).dtype for name in source.names()} == {torch.float16}
    assert (BUILTIN_FOLDER / "model.safetensors").stat().st_size <= 16_000_000


def test_every_input_width_is_divisible_by_128() -> None:
    source = open_source("builtin")
    widths = {source.tensor(name).shape[1] for name in source.names() if source.tensor(name).dim() == 2}
    assert all(width % 128 == 0 for width in widths)


def test_it_is_a_complete_transformers_folder() -> None:
    names = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert names | {"model.safetensors", "README.md"} <= {f.name for f in BUILTIN_FOLDER.iterdir()}
    assert json.loads((BUILTIN_FOLDER / "config.json").read_text())["model_type"] == "qwen2"


def test_a_prompt_and_its_solution_are_cut_apart_as_one_text_is() -> None:
    tokenizer = load_tokenizer(open_source("builtin"))
    assert tokenizer is not None
    for problem in load_quickeval().problems:
        whole = tokenizer.encode(problem.prompt + problem.canonical_solution).ids
        parts = (problem.prompt, problem.canonical_solution)
        assert whole == [i for part in parts for i in tokenizer.encode(part).ids]


def test_no_answer_needs_more_tokens_than_the_protocol_allows() -> None:
    tokenizer = load_tokenizer(open_source("builtin"))
    task = load_quickeval()
    assert tokenizer is not None
    longest = max(len(tokenizer.encode(p.canonical_solution).ids) for p in task.problems)
    assert longest < task.protocol.max_new_tokens


def test_training_rows_hold_whole_documents_each_ended_once() -> None:
    chunk = make_chunk(1, 0, str(BUILTIN_FOLDER / "tokenizer.json"), 60)
    solution_ends = (chunk.ids == 0) & (chunk.kinds == SOLUTION)
    assert solution_ends.sum() == chunk.documents.max(axis=1).sum() == 60
    assert not ((chunk.ids == 0) & (chunk.kinds == PROMPT)).any()


def test_it_scores_what_it_scored_at_the_end_of_training() -> None:
    source, task = open_source("builtin"), load_quickeval()
    loaded = METHODS["fp32"].load(source, LoadSettings(device="cpu", dtype="float32", threads=1))
    result, _ = evaluate(
        task,
        loaded.decoder,
        load_tokenizer(source),  # type: ignore[arg-type]
        eos_ids(source),
        GenerationSettings(batch_size=32),
        sandbox=open_sandbox,
        progress=lambda stage, done, total: None,
    )
    passed = sum(one.outcome == "passed" for one in result.completions)
    interval = wilson_interval(passed, len(task.problems))
    assert 0.55 <= passed / len(task.problems) <= 0.90
    assert interval.low <= TRAINED_SCORE <= interval.high
