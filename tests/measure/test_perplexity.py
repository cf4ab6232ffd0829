"""Perplexity is that of llama-perplexity and of the transformers documentation, computed by plain means."""

from math import exp
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import Qwen2Config, Qwen2ForCausalLM

from quantbench.analysis.comparison.perplexity import perplexities
from quantbench.analysis.comparison.rows import read_results
from quantbench.decoding.transformers import TransformersDecoder
from quantbench.measure.perplexity import DOCS, LLAMA, docs_windows, llama_windows, measure_perplexity
from quantbench.records import Perplexity
from tests.decoders import byte_level
from tests.report_records import record

WINDOW = 32
TEXT = "It was the best of times, it was the worst of times; " * 6 + "naïve ✓\n"


def quiet(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.3,
    )
    return Qwen2ForCausalLM(config).eval()


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = byte_level()
    assert made.get_vocab_size() <= 400
    return made


def measured(
    model: Qwen2ForCausalLM, tokenizer: Tokenizer, folder: Path, window: int = WINDOW
) -> dict[str, float]:
    """Perplexity by convention, as a report shows it."""
    path = folder / "text.txt"
    path.write_text(TEXT)
    decoder = TransformersDecoder(model, device="cpu")
    found = measure_perplexity(decoder, tokenizer, path, window, quiet)
    shown = perplexities(read_results([record("fp16", perplexity=found)], "fp16"))
    return {entry.measured.convention: entry.value for entry in shown}


def loop_of_the_docs(model: Qwen2ForCausalLM, ids: list[int], window: int, stride: int) -> float:
    """The page's computation, by the model's own loss."""
    total, counted, before = 0.0, 0, 0
    for start in range(0, len(ids), stride):
        end = min(start + window, len(ids))
        labels = torch.tensor([ids[start:end]])
        labels[:, : -(end - before)] = -100
        with torch.no_grad():
            loss = model(torch.tensor([ids[start:end]]), labels=labels).loss
        weight = int((labels != -100).sum()) - 1
        total, counted, before = total + float(loss) * weight, counted + weight, end
        if end == len(ids):
            break
    return exp(total / counted)


def second_halves(model: Qwen2ForCausalLM, ids: list[int], window: int, bos: int | None) -> float:
    """llama-perplexity's computation: each window by itself, its second half counted."""
    losses: list[float] = []
    for start in range(0, len(ids) - window + 1, window):
        part = ids[start : start + window]
        part[0] = part[0] if bos is None else bos
        with torch.no_grad():
            log_p = model(torch.tensor([part])).logits[0].log_softmax(dim=-1)
        losses += [-float(log_p[i, part[i + 1]]) for i in range(window // 2, window - 1)]
    return exp(sum(losses) / len(losses))


def test_the_figure_of_the_transformers_documentation(
    model: Qwen2ForCausalLM, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    expected = loop_of_the_docs(model, tokenizer.encode(TEXT).ids, WINDOW, WINDOW // 2)
    assert measured(model, tokenizer, tmp_path)[DOCS] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bos", [None, 40])
def test_the_figure_of_llama_perplexity(
    model: Qwen2ForCausalLM, tokenizer: Tokenizer, tmp_path: Path, bos: int | None
) -> None:
    ids = tokenizer.encode(TEXT.removesuffix("\n")).ids
    if bos is not None:
        token = tokenizer.id_to_token(bos)
        tokenizer.post_processor = TemplateProcessing(single=f"{token} $A", special_tokens=[(token, bos)])
        ids = [bos, *ids]
    expected = second_halves(model, ids, WINDOW, bos)
    assert measured(model, tokenizer, tmp_path)[LLAMA] == pytest.approx(expected, rel=1e-5)


def test_a_window_is_no_longer_than_the_model(
    model: Qwen2ForCausalLM, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    assert measured(model, tokenizer, tmp_path, 10_000)[DOCS] == pytest.approx(
        loop_of_the_docs(model, tokenizer.encode(TEXT).ids, 256, 128), rel=1e-5
    )


def test_every_token_but_the_first_is_counted_once_in_overlapping_windows() -> None:
    ids = list(range(100))
    counted = [token for part in docs_windows(ids, 16, 4) for token in part.token_ids[part.first :]]
    assert counted == ids[1:]


def test_a_text_of_less_than_two_windows_has_no_figure_of_llama_perplexity() -> None:
    assert llama_windows(list(range(63)), 32, None) == []
    assert len(llama_windows(list(range(64)), 32, None)) == 2


def of(label: str, *nll: float) -> Perplexity:
    return Perplexity(
        text="t",
        convention=LLAMA,
        window=8,
        stride=8,
        nll=nll,
        counted=(3,) * len(nll),
        weights=(3,) * len(nll),
    )


def test_the_ratio_is_paired_by_window() -> None:
    losses = [3.0 + n for n in range(40)]
    rows = [
        record("fp16", perplexity=(of("fp16", *losses),)),
        record("int8", perplexity=(of("int8", *(loss + 0.03 for loss in losses)),)),
    ]
    own = perplexities(read_results(rows, "fp16"))[1]
    assert own.ratio == pytest.approx(exp(0.01)) and own.interval is not None
    assert own.interval.width < 1e-6
