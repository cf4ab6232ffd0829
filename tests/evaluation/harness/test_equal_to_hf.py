"""Scores on our engine beside lm-eval's own `hf` model: the same weights, the same tasks, item by item."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval")

import torch
import transformers

from quantbench.decoding import Decoder
from quantbench.evaluation.harness.loading import HarnessTask, load_harness_task
from quantbench.evaluation.harness.model import HarnessModel
from quantbench.evaluation.harness.names import parse_name
from quantbench.evaluation.harness.run import evaluate_harness
from quantbench.evaluation.harness.text import read_harness_text
from quantbench.harness_record import Aggregation, HarnessResult
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import Engine
from quantbench.sources import BUILTIN_FOLDER, load_tokenizer, open_source
from tests.evaluation.harness import task_files as files

FLOAT = {"device": "cpu", "dtype": "float32", "engine": Engine.NATIVE, "exact_prompts": True}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return METHODS["fp32"].load(open_source("builtin"), LoadSettings(**FLOAT)).decoder


def ours(decoder: Decoder, max_length: int | None = None) -> HarnessModel:
    source = open_source("builtin")
    tokenizer = load_tokenizer(source)
    assert tokenizer is not None
    text = read_harness_text(source, tokenizer)
    return HarnessModel(decoder, text, batch_size=4, progress=lambda *_: None, max_length=max_length)


@cache
def reference() -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(BUILTIN_FOLDER, dtype=torch.float32)


def theirs(max_length: int | None = None) -> Any:
    from lm_eval.models.huggingface import HFLM

    end = "<|endoftext|>"
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(BUILTIN_FOLDER / "tokenizer.json"), eos_token=end, pad_token=end
    )
    return HFLM(pretrained=reference(), tokenizer=tokenizer, max_length=max_length, batch_size=1)


@pytest.fixture(scope="module")
def hf() -> Any:
    return theirs()


def task(name: str, folder: Path, limit: int | None = None) -> HarnessTask:
    return load_harness_task(parse_name(f"lm-eval:{name}"), str(folder), limit)


def both(name: str, folder: Path, own: HarnessModel, other: Any) -> tuple[tuple[HarnessResult, Rows], ...]:
    return tuple(evaluate_harness(task(name, folder), model) for model in (own, other))


def responses(rows: Rows) -> list[Any]:
    return [row["resps"] for row in rows]


def flat(value: Any) -> list[float]:
    if isinstance(value, list):
        return [number for part in value for number in flat(part)]
    return [float(value)]


@pytest.mark.parametrize("name", [files.CHOICE, files.LETTERS, files.LAMBADA, files.ROLLING])
def test_log_likelihoods_are_those_of_hf_item_by_item(
    name: str, folder: Path, decoder: Decoder, hf: Any
) -> None:
    (own, rows), (other, other_rows) = both(name, folder, ours(decoder), hf)
    assert flat(responses(rows)) == pytest.approx(flat(responses(other_rows)), rel=1e-4, abs=1e-4)
    assert own.items == other.items
    for metric, reference in zip(own.metrics, other.metrics, strict=True):
        assert metric.name == reference.name
        assert metric.value == pytest.approx(reference.value, rel=1e-4)
        assert metric.values == pytest.approx(reference.values, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", [files.CHOICE, files.ROLLING])
def test_texts_beyond_the_models_length_are_cut_as_hf_cuts_them(
    name: str, folder: Path, decoder: Decoder
) -> None:
    (_, rows), (_, other_rows) = both(name, folder, ours(decoder, max_length=12), theirs(max_length=12))
    assert flat(responses(rows)) == pytest.approx(flat(responses(other_rows)), rel=1e-4, abs=1e-4)


def test_greedy_answers_are_those_of_hf(folder: Path, decoder: Decoder, hf: Any) -> None:
    (_, rows), (_, other_rows) = both(files.GENERATION, folder, ours(decoder), hf)
    assert responses(rows) == responses(other_rows)
    assert any(text for row in rows for part in row["resps"] for text in part)


def test_long_prompts_are_cut_from_the_left_as_hf_cuts_them(folder: Path, decoder: Decoder) -> None:
    (_, rows), (_, other_rows) = both(
        files.GENERATION, folder, ours(decoder, max_length=30), theirs(max_length=30)
    )
    assert responses(rows) == responses(other_rows)


def test_figures_are_lm_evals_own_and_follow_from_the_items(folder: Path, decoder: Decoder) -> None:
    result, _ = evaluate_harness(task(files.ROLLING, folder), ours(decoder))
    kinds = {metric.name: metric.aggregation for metric in result.metrics}
    assert kinds == {
        "word_perplexity": Aggregation.PERPLEXITY,
        "byte_perplexity": Aggregation.PERPLEXITY,
        "bits_per_byte": Aggregation.BITS,
    }
    assert all(len(metric.values) == len(result.items) == len(files.TEXTS) for metric in result.metrics)


def test_a_group_has_its_own_figure_and_the_items_of_all_its_tasks(folder: Path, decoder: Decoder) -> None:
    result, _ = evaluate_harness(task(files.GROUP, folder), ours(decoder))
    (metric,) = [metric for metric in result.metrics if metric.name == "acc"]
    assert (result.tasks, len(result.items)) == (2, 16)
    assert metric.aggregation is Aggregation.MEAN
    assert metric.value == pytest.approx(sum(metric.values) / 16)
