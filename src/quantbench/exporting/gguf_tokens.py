"""A model's tokenizer as the metadata of a GGUF file.

A GGUF file names a way of splitting text instead of holding it. Which one it is, is found out: each that
`sources.gguf_tokenizer` knows is tried, and one is taken only where it reads texts of many kinds as the
model's own tokenizer does. None does: the file is not written.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.exporting.gguf_metadata import unwritten
from quantbench.sources import ModelSource, eos_ids, load_tokenizer
from quantbench.sources.chat_template import load_chat_template
from quantbench.sources.gguf_tokenizer import BYTE, CONTROL, UNUSED, USER_DEFINED, make_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NORMAL, UNKNOWN = 1, 2  # of tokenizer.ggml.token_type
SPLITS = ("qwen2", "llama-bpe", "smollm", "gpt-2")  # one name of each way that is read
HARD = (
    "it's we'LL I'd  a  b\t\tc\r\n\r\n  d\n\n\n e   ",
    "1234567890 12 345 6789 3.14159 0x1F 1,000,000",
    "naïve café e\u0301 Å ½ ² 漢字かな 한국어 עברית हिन्दी \U0001f600\U0001f468\u200d\U0001f469",
    "def f(x):\n    return {'a': [x ** 2, -1]}  # ok?!...\n\n\n<html>&amp;</html>",
    " leading and trailing ",
    '_snake_case camelCase SCREAMING $%^&*()[]{};:"\\|/?.>,<`~',
)
LONG = 4000  # characters of our own code and prose, read beside them
IDS = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}


def token_metadata(source: ModelSource) -> dict[str, Any]:
    """Vocabulary, special tokens and chat template; ModelError where no GGUF file reads text like the model.

    A model without a tokenizer says so.
    """
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none"}
    data = json.loads(tokenizer.to_str())
    if data["model"]["type"] != "BPE":
        raise unwritten(source, f"its tokenizer is of the kind {data['model']['type']}")
    found = vocabulary(source, data) | special(source, tokenizer)
    if template := load_chat_template(source):
        found["tokenizer.chat_template"] = template.text
    if data["model"].get("byte_fallback"):
        return sentence_piece(source, tokenizer, data, found)
    return byte_level(source, tokenizer, data, found)


def vocabulary(source: ModelSource, data: Mapping[str, Any]) -> dict[str, Any]:
    """Every token's text and kind, as many as the embedding has rows."""
    size = int(source.config["vocab_size"])
    texts = {index: text for text, index in data["model"]["vocab"].items()}
    kinds = dict.fromkeys(texts, NORMAL)
    for token in data["added_tokens"]:
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    if max(texts, default=0) >= size:
        raise unwritten(source, f"its tokenizer has the token {max(texts)} and its embedding {size} rows")
    return {
        "tokenizer.ggml.tokens": [texts.get(index, f"[PAD{index}]") for index in range(size)],
        "tokenizer.ggml.token_type": [kinds.get(index, UNUSED) for index in range(size)],
    }


def special(source: ModelSource, tokenizer: "Tokenizer") -> dict[str, Any]:
    """The tokens that begin, end, pad and stand for the unknown, and whether a text gets the first two."""
    found: dict[str, Any] = {}
    template = load_chat_template(source)
    named = dict(template.special_tokens) if template else {}
    for key, short in IDS.items():
        index = tokenizer.token_to_id(named[key]) if key in named else source.config.get(f"{key}_id")
        if isinstance(index, int):
            found[f"tokenizer.ggml.{short}_token_id"] = index
    ends = sorted(eos_ids(source))
    if ends and found.get("tokenizer.ggml.eos_token_id") not in ends:
        found["tokenizer.ggml.eos_token_id"] = ends[0]
    ids = tokenizer.encode("a").ids
    begin, end = (found.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    found["tokenizer.ggml.add_bos_token"] = begin is not None and ids[:1] == [begin]
    found["tokenizer.ggml.add_eos_token"] = end is not None and ids[-1:] == [end]
    return found


def byte_level(
    source: ModelSource, tokenizer: "Tokenizer", data: Mapping[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    """With merges, and the first way of splitting that reads as the model does."""
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in data["model"]["merges"]]
    found |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": merges}
    for pre in SPLITS:
        tried = found | {"tokenizer.ggml.pre": pre}
        if reads_alike(source, tokenizer, tried):
            return tried
    raise unwritten(source, "its tokenizer splits text in a way that GGUF files have no name for")


def sentence_piece(
    source: ModelSource, tokenizer: "Tokenizer", data: Mapping[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    """With scores that fall from token to token, as those of merges learned in the order of their ids."""
    tokens, kinds = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.token_type"]
    for index, text in enumerate(tokens):
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            kinds[index] = BYTE
    unknown = data["model"].get("unk_token")
    if unknown in tokens:
        kinds[tokens.index(unknown)] = UNKNOWN
        found["tokenizer.ggml.unknown_token_id"] = tokens.index(unknown)
    found |= {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.scores": [-float(index) for index in range(len(tokens))],
        "tokenizer.ggml.add_space_prefix": '"Prepend"' in json.dumps(data["normalizer"]),
    }
    if not reads_alike(source, tokenizer, found):
        raise unwritten(source, "its tokenizer reads text in another way than GGUF files can say")
    return found


def reads_alike(source: ModelSource, tokenizer: "Tokenizer", metadata: Mapping[str, Any]) -> bool:
    """Whether a file of these metadata turns texts into the same tokens."""
    try:
        made = make_tokenizer(metadata, source.name)
    except ModelError:
        return False
    if made is None:
        return False
    text = (files("quantbench.assets") / "calibration.txt").read_text(encoding="utf-8")[:LONG]
    texts = (*HARD, text)
    return all(
        pieces(made, text) == pieces(tokenizer, text) and made.encode(text).ids == tokenizer.encode(text).ids
        for text in texts
    )


def pieces(tokenizer: "Tokenizer", text: str) -> list[str]:
    """What a text is split into before anything is merged."""
    plain = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
    split = tokenizer.pre_tokenizer.pre_tokenize_str(plain) if tokenizer.pre_tokenizer else [(plain, None)]
    return [piece for piece, _ in split]
