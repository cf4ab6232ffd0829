"""A GGUF file is the model that it was made from: configuration, names, rows, tokens; damage is said."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.sources import eos_ids, load_tokenizer, open_source
from quantbench.sources.gguf_config import Metadata
from quantbench.sources.gguf_source import open_gguf
from quantbench.sources.gguf_tokenizer import make_tokenizer, merges_of
from quantbench.weights.formats import FloatWeight
from quantbench.weights.readers import Quantizing, stored_reader
from tests.gguf_files import metadata_of, q8_0, write_gguf, write_tiny
from tests.model_folders import tiny_config, tiny_tensors, write_folder

FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 32},
    "llama": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
    "llama untied": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "tie_word_embeddings": False,
        "num_key_value_heads": 2,
    },
}


def logits(model: str, *, stored: bool) -> torch.Tensor:
    source = open_source(model)
    reader = stored_reader(source) if stored else Quantizing(source, lambda _, t: FloatWeight(t.float()))
    decoder = load_decoder(source, reader, device="cpu", dtype="float32", exact_prompts=True)
    return next(iter(decoder.score([[5, 9, 2, 33, 17, 8]])))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_of_floats_gives_the_logits_of_its_folder(family: str, tmp_path: Path) -> None:
    changes = FAMILIES[family]
    folder = write_folder(tmp_path / "m", tiny_tensors(**changes), tiny_config(**changes))
    file = write_tiny(tmp_path / "m.gguf", kind="F32", **changes)
    assert torch.allclose(
        logits(str(file), stored=True), logits(str(folder), stored=False), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_give_the_logits_of_their_values(family: str, tmp_path: Path) -> None:
    file = str(write_tiny(tmp_path / "m.gguf", **FAMILIES[family]))
    assert torch.allclose(logits(file, stored=True), logits(file, stored=False), rtol=1e-5, atol=1e-6)


def test_a_folder_that_holds_one_file_is_that_file(tmp_path: Path) -> None:
    write_tiny(tmp_path / "m.gguf")
    assert open_source(str(tmp_path)).config == open_source(str(tmp_path / "m.gguf")).config


def test_of_several_files_one_must_be_named(tmp_path: Path) -> None:
    for name in "ab":
        write_tiny(tmp_path / f"{name}.gguf")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files \(a.gguf, b.gguf\); name one"):
        open_source(str(tmp_path))


def test_tokens_that_end_an_answer_are_those_named_and_those_whose_text_says_so(tmp_path: Path) -> None:
    assert eos_ids(open_source(str(write_tiny(tmp_path / "m.gguf")))) == {0, 1}


def test_special_tokens_are_found_in_a_text(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(open_source(str(write_tiny(tmp_path / "m.gguf"))))
    assert tokenizer is not None
    ids = tokenizer.encode("AB<|im_end|>A").ids
    assert ids[:2] == [2, 1] and len(ids) == 3
    assert tokenizer.decode(ids) == "ABA"


def test_a_revision_changes_with_the_weights(tmp_path: Path) -> None:
    first = open_source(str(write_tiny(tmp_path / "a.gguf"))).revision
    second = open_source(str(write_tiny(tmp_path / "b.gguf", num_hidden_layers=2))).revision
    assert first and second and first != second


@pytest.mark.parametrize("cut", [3, 10, 60, 400, 3000, -1])
def test_a_file_that_ends_early_is_said_in_one_sentence(cut: int, tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "m.gguf")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"truncated|does not begin as a GGUF file|damaged"):
        open_source(str(file))


def test_no_changed_byte_of_a_header_ends_in_another_error(tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "m.gguf").read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        content = bytearray(whole)
        at = int(torch.randint(4, 4000, (1,), generator=generator))
        content[at] = int(torch.randint(0, 256, (1,), generator=generator))
        file = tmp_path / "changed.gguf"
        file.write_bytes(content)
        try:
            source = open_source(str(file))
            load_tokenizer(source)
        except ModelError:
            pass


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"general.architecture": "falcon"}, "family 'falcon'; those read are llama, qwen2, qwen3"),
        ({"qwen2.expert_count": 4}, "sets 'qwen2.expert_count' to 4"),
        ({"qwen2.rope.scaling.type": "longrope", "qwen2.rope.scaling.factor": 2.0}, "scaling.type"),
        (
            {"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": 4.0}
            | {"qwen2.rope.scaling.attn_factor": 2.0},
            r"sets 'qwen2.rope.scaling.attn_factor' to 2.0",
        ),
        ({"qwen2.rope.dimension_count": 16}, "rope.dimension_count"),
        ({"qwen2.block_count": [1, 2]}, "or has one for each layer"),
        ({"qwen2.feed_forward_length": 96}, "has shape"),
        ({"qwen2.block_count": 2}, "has no tensor 'model.layers.1"),
    ],
)
def test_what_is_not_read_is_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    tensors = {
        "token_embd.weight": ("Q8_0", (64, 64), q8_0(torch.ones(64, 64))),
    }
    write_tiny(tmp_path / "m.gguf")
    metadata = metadata_of(tiny_config()) | changes
    from quantbench.sources.gguf_file import read_gguf

    header = read_gguf(tmp_path / "m.gguf")
    whole = (tmp_path / "m.gguf").read_bytes()
    tensors = {
        name: (t.kind.name, t.shape, whole[t.offset : t.offset + t.size])
        for name, t in header.tensors.items()
    }
    with pytest.raises(ModelError, match=sentence):
        open_source(str(write_gguf(tmp_path / "n.gguf", metadata, tensors)))


LINEAR = {"rope_type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("said", "scaling"),
    [
        ({"scale_linear": 4.0}, LINEAR),  # files of the first months
        ({"scaling.factor": 4.0}, LINEAR),  # llama.cpp takes linear for no type
        ({"scaling.type": "none", "scaling.factor": 4.0}, None),
        ({"scaling.factor": 1.0}, None),
        (
            {"scaling.type": "yarn", "scaling.factor": 4.0, "scaling.yarn_beta_fast": 16.0},
            {"rope_type": "yarn", "factor": 4.0, "beta_fast": 16.0},
        ),
    ],
)
def test_positions_are_scaled_as_the_metadata_say(said: dict[str, Any], scaling: Any) -> None:
    metadata = {f"qwen2.rope.{key}": value for key, value in said.items()}
    assert Metadata(metadata, "qwen2", "m").rope_scaling(factors=False) == scaling


def test_a_file_for_the_other_order_of_bytes_is_named(tmp_path: Path) -> None:
    content = bytearray(write_tiny(tmp_path / "m.gguf").read_bytes())
    content[4:8] = content[7:3:-1]
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="of version 3 in big endian"):
        open_source(str(tmp_path / "m.gguf"))


def test_a_type_that_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has the type number 99; those read are F32"):
        open_gguf(write_gguf(tmp_path / "m.gguf", {}, {"a": ("new", (1, 32), bytes(34))}), name="m")


def test_frequency_factors_divide_the_frequencies(tmp_path: Path) -> None:
    changes = FAMILIES["llama"]
    from quantbench.engine.config import read_config
    from quantbench.sources.gguf_file import read_gguf

    file = write_tiny(tmp_path / "m.gguf", **changes)
    whole, header = file.read_bytes(), read_gguf(file)
    factors = torch.linspace(1, 8, 16)
    tensors = {
        name: (t.kind.name, t.shape, whole[t.offset : t.offset + t.size])
        for name, t in header.tensors.items()
    } | {"rope_freqs.weight": ("F32", (16,), factors.numpy().tobytes())}
    scaled = open_gguf(write_gguf(tmp_path / "n.gguf", header.metadata, tensors), name="n")
    plain = read_config(open_gguf(file, name="m").config).rope.inverse_frequencies()
    assert torch.allclose(read_config(scaled.config).rope.inverse_frequencies(), plain / factors)


def test_pieces_of_higher_score_are_merged_first() -> None:
    tokens = ["<unk>", "a", "b", "c", "bc", "ab"]
    scores = [0.0, -3.0, -4.0, -5.0, -1.0, -2.0]
    assert merges_of(tokens, scores, [2, 1, 1, 1, 1, 1]) == [("b", "c"), ("a", "b")]


def test_a_sentence_piece_vocabulary_writes_unknown_characters_as_bytes() -> None:
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "▁a"]
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": [0.0] * 258 + [-1.0, -2.0, -0.5],
        "tokenizer.ggml.token_type": [2, 3] + [6] * 256 + [1] * 3,
        "tokenizer.ggml.bos_token_id": 1,
    }
    tokenizer = make_tokenizer(metadata, "m")
    assert tokenizer is not None
    assert tokenizer.encode("a é").ids == [1, 260, 258, 2 + 0xC3, 2 + 0xA9]
    assert tokenizer.decode(tokenizer.encode("a é").ids) == "a é"


def test_ids_are_those_of_the_class_that_the_file_was_made_from(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from quantbench.sources import BUILTIN_FOLDER

    path = BUILTIN_FOLDER / "tokenizer.json"
    if not path.is_file():
        pytest.skip("the built-in model is not here")
    stored = json.loads(path.read_text())
    vocabulary = stored["model"]["vocab"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in stored["model"]["merges"]]
    special = {token["content"] for token in stored["added_tokens"]}
    tokens = sorted(vocabulary | {t["content"]: t["id"] for t in stored["added_tokens"]}, key=vocabulary.get)
    made = make_tokenizer(
        {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "qwen2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3 if token in special else 1 for token in tokens],
            "tokenizer.ggml.merges": merges,
        },
        "m",
    )
    assert made is not None
    theirs = transformers.Qwen2TokenizerFast(vocab=vocabulary, merges=[tuple(m.split(" ")) for m in merges])
    for sample in ("def f(x):\n    return x + 12345\n", "it's\r\n\r\n  naïve ½ 漢字 e\u0301", "\t\t\tx  "):
        assert made.encode(sample).ids == theirs(sample)["input_ids"]


def test_the_files_chat_template_is_the_models(tmp_path: Path) -> None:
    from quantbench.sources.chat_template import load_chat_template
    from quantbench.sources.gguf_file import read_gguf

    whole = write_tiny(tmp_path / "m.gguf").read_bytes()
    header = read_gguf(tmp_path / "m.gguf")
    tensors = {
        name: (t.kind.name, t.shape, whole[t.offset : t.offset + t.size])
        for name, t in header.tensors.items()
    }
    text = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    metadata = header.metadata | {"tokenizer.chat_template": text}
    template = load_chat_template(open_source(str(write_gguf(tmp_path / "n.gguf", metadata, tensors))))
    assert template is not None
    assert template.render([{"role": "user", "content": "hello"}]) == "user: hello<|im_end|>"
    assert load_chat_template(open_source(str(tmp_path / "m.gguf"))) is None
