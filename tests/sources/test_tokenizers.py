"""A folder's tokenizer is the one that transformers makes of its files."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer

from quantbench.errors import ModelError
from quantbench.sources import load_tokenizer, open_source
from quantbench.sources.transformers_tokenizer import ask_elsewhere, cache_folder
from tests.decoders import byte_fallback, byte_level
from tests.model_folders import tiny_config, tiny_tensors, write_folder

TEXTS = ("def f(x):\n    return x * 2", " x<|im_end|>y <|skip|>", "naïve ✓  \n\n", "<pad><|im_end|>")
END = {
    "content": "<|im_end|>",
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "single_word": False,
    "special": True,
}
Files = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def serialized(tokenizer: Tokenizer) -> Any:
    return json.loads(tokenizer.to_str())


def levels(**config: Any) -> Files:
    """A byte-level tokenizer.json and its tokenizer_config.json."""
    return {"tokenizer.json": serialized(byte_level()), "tokenizer_config.json": config}


def pieces(**config: Any) -> Files:
    return {"tokenizer.json": serialized(byte_fallback("strip")), "tokenizer_config.json": config}


def in_parts(**config: Any) -> Files:
    """vocab.json and merges.txt."""
    model = serialized(byte_level())["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])])
    return {"vocab.json": model["vocab"], "merges.txt": merges, "tokenizer_config.json": config}


def truncating() -> Files:
    tokenizer = byte_level()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    return {"tokenizer.json": serialized(tokenizer)}


def with_added(token: AddedToken) -> Files:
    tokenizer = byte_level()
    tokenizer.add_tokens([token])
    return {"tokenizer.json": serialized(tokenizer)}


FAST = "PreTrainedTokenizerFast"
KINDS: dict[str, Callable[[], Files]] = {
    "tokenizer.json alone": lambda: {"tokenizer.json": serialized(byte_level())},
    "byte level": lambda: levels(tokenizer_class=FAST),
    "byte level under a sentencepiece class": lambda: levels(tokenizer_class="LlamaTokenizerFast"),
    "byte level under its class": lambda: levels(tokenizer_class="Qwen2Tokenizer"),
    "byte level under GPT-2's class": lambda: levels(tokenizer_class="GPT2TokenizerFast"),
    "byte level under an unknown class": lambda: levels(tokenizer_class="MyTokenizer"),
    "sentencepiece": lambda: pieces(tokenizer_class=FAST),
    "sentencepiece under its class": lambda: pieces(tokenizer_class="LlamaTokenizer", legacy=False),
    "sentencepiece with bos": lambda: pieces(
        tokenizer_class="LlamaTokenizer", add_bos_token=True, bos_token="<s>"
    ),
    "added_tokens_decoder": lambda: levels(
        tokenizer_class=FAST, eos_token="<|im_end|>", added_tokens_decoder={"300": END}
    ),
    "an end token without a decoder": lambda: levels(tokenizer_class=FAST, eos_token="<|im_end|>"),
    "extra special tokens": lambda: levels(tokenizer_class=FAST, extra_special_tokens=["<|im_end|>"]),
    "additional special tokens": lambda: levels(
        tokenizer_class=FAST, additional_special_tokens=["<|im_end|>", "<pad>"]
    ),
    "added_tokens.json": lambda: (
        in_parts(tokenizer_class="GPT2Tokenizer") | {"added_tokens.json": {"<|im_end|>": 270}}
    ),
    "special_tokens_map.json": lambda: (
        in_parts(tokenizer_class="Qwen2Tokenizer")
        | {"special_tokens_map.json": {"eos_token": "<|im_end|>", "pad_token": "<pad>"}}
    ),
    "split special tokens": lambda: levels(tokenizer_class=FAST, split_special_tokens=True),
    "vocabulary and merges": lambda: in_parts(tokenizer_class="GPT2Tokenizer"),
    "vocabulary and merges under Qwen's class": lambda: in_parts(tokenizer_class="Qwen2Tokenizer"),
    "a prefix space": lambda: in_parts(tokenizer_class="GPT2Tokenizer", add_prefix_space=True),
    "truncation and padding": truncating,
    "a token that strips": lambda: with_added(AddedToken("<|im_end|>", lstrip=True, rstrip=True)),
}


def written(folder: Path, kind: str, files: Files) -> Path:
    """A model folder of this model_type with these tokenizer files."""
    changes = {"model_type": kind, "architectures": None, "head_dim": 32}
    write_folder(folder, tiny_tensors(**changes), tiny_config(**changes))
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


LONG = pytest.mark.long
FAMILIES = ["llama", pytest.param("mistral", marks=LONG), pytest.param("qwen3", marks=LONG)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_text_becomes_the_tokens_that_transformers_makes_of_it(
    family: str, kind: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, family, KINDS[kind]())
    try:
        theirs = AutoTokenizer.from_pretrained(folder)
    except ValueError:  # not every class builds from every file
        with pytest.raises(ModelError, match="transformers makes no tokenizer"):
            load_tokenizer(open_source(str(folder)))
        return
    ours = load_tokenizer(open_source(str(folder)))
    assert ours is not None
    for text in TEXTS:
        expected = theirs(text)["input_ids"]
        assert ours.encode(text).ids == expected
        assert ours.decode(expected) == theirs.decode(expected, skip_special_tokens=True)


def test_a_process_of_its_own_gives_the_same(tmp_path: Path) -> None:
    folder = written(tmp_path, "llama", KINDS["added_tokens_decoder"]())
    answer = ask_elsewhere(str(folder), None)
    ids = AutoTokenizer.from_pretrained(folder)("a<|im_end|>b")["input_ids"]
    assert Tokenizer.from_str(answer["tokenizer"]).encode("a<|im_end|>b").ids == ids


def test_the_answer_is_kept_and_asked_again_only_when_a_file_changes(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", "llama", KINDS["byte level"]())
    load_tokenizer(open_source(str(folder)))
    load_tokenizer(open_source(str(folder)))
    assert len(list(cache_folder().iterdir())) == 1
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    load_tokenizer(open_source(str(folder)))
    assert len(list(cache_folder().iterdir())) == 2


def test_a_damaged_cache_is_asked_again(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", "llama", KINDS["byte level"]())
    load_tokenizer(open_source(str(folder)))
    (kept,) = cache_folder().iterdir()
    kept.write_text("{")
    assert load_tokenizer(open_source(str(folder))) is not None


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (
            {"vocab.json": {"a": 0}, "tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}},
            "finds no vocabulary",
        ),
        ({"tokenizer.model": "no model"}, "transformers makes no tokenizer"),
        ({"tokenizer.json": "{}"}, r"tokenizer\.json' is damaged"),
        ({"vocab.json": "{"}, "transformers makes no tokenizer"),
    ],
)
def test_files_that_make_no_tokenizer_are_refused_with_the_reason(
    files: Files, named: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, "llama", files)
    with pytest.raises(ModelError, match=named):
        load_tokenizer(open_source(str(folder)))


def test_code_of_a_repository_is_not_run(tmp_path: Path) -> None:
    config = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    folder = written(tmp_path, "llama", levels() | {"tokenizer_config.json": config})
    (folder / "mine.py").write_text("raise SystemExit(3)")
    try:
        assert load_tokenizer(open_source(str(folder))) is not None
    except ModelError as error:
        assert "code" in str(error)
    assert "mine" not in sys.modules
