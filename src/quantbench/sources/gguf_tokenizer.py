"""The tokenizer in a GGUF file for the `tokenizers` library, with the ids of the model's own tokenizer.

Byte-level BPE ('gpt2' in the file) with the ways of splitting text that `tokenizer.ggml.pre` names, and
SentencePiece BPE ('llama'). A way of splitting that is not here is refused: another one would give other ids.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

CONTROL, USER_DEFINED, UNUSED, BYTE = 3, 4, 5, 6  # of tokenizer.ggml.token_type; 1 is normal, 2 unknown
SPACE = "▁"  # SentencePiece's sign for a space
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPLITS = {"qwen2": QWEN} | dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "smaug-bpe", "dbrx"), LLAMA3)
DIGITS = ("smollm", "starcoder", "refact", "codeshell", "command-r")  # each digit, then GPT-2's own pattern
PLAIN = ("gpt-2", "default", "mpt", "olmo", "jais")  # GPT-2's own pattern
COMPOSED = ("qwen2",)  # text is normalised to NFC first
WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")  # words of the vocabulary are not merged; a text gets BOS


def make_tokenizer(metadata: Mapping[str, Any], name: str) -> "Tokenizer | None":
    """None where the file has no vocabulary; ModelError for one that is damaged or of an unread kind."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind in (None, "none", "no_vocab"):
        return None
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ModelError(f"'{name}' has no list of tokens in its metadata; download it again")
    if kind == "gpt2":
        return byte_level(metadata, tokens, name)
    if kind == "llama":
        return sentence_piece(metadata, tokens, name)
    raise ModelError(
        f"'{name}' has a tokenizer of the kind '{str(kind)[:50]}'; those read from GGUF files are gpt2 and "
        "llama: give the model's own folder, or use --tasks none without --text"
    )


def byte_level(metadata: Mapping[str, Any], tokens: list[str], name: str) -> "Tokenizer":
    """Byte-level BPE with the file's merges."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    pre = str(metadata.get("tokenizer.ggml.pre", "default"))
    splitting = split_by(pre, name)
    merges = metadata.get("tokenizer.ggml.merges")
    if not isinstance(merges, list):
        raise ModelError(f"'{name}' has no merges for its tokenizer; download it again")
    kinds = token_kinds(metadata, tokens)
    vocabulary = {text: index for index, text in enumerate(tokens) if kinds[index] != UNUSED}
    pairs = [(first, second) for first, _, second in (str(merge).partition(" ") for merge in merges)]
    try:
        model = BPE(vocabulary, pairs, ignore_merges=pre in WHOLE_WORDS)
    except Exception as error:  # the library raises bare Exceptions
        raise ModelError(f"the tokenizer of '{name}' is damaged ({error}); download it again") from error
    tokenizer = Tokenizer(model)
    if pre in COMPOSED:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = splitting
    tokenizer.decoder = decoders.ByteLevel()
    return finish(tokenizer, metadata, tokens, default_bos=pre in WHOLE_WORDS)


def split_by(pre: str, name: str) -> "PreTokenizer":
    """What splits text before merging; ModelError for a way that is not known."""
    from tokenizers import Regex, pre_tokenizers

    if pre in PLAIN:
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in DIGITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    if pre not in SPLITS:
        known = ", ".join([*SPLITS, *DIGITS, *PLAIN])
        raise ModelError(
            f"'{name}' splits text by '{pre[:50]}' (tokenizer.ggml.pre), which is not among {known}; give "
            "the model's own folder, or use --tasks none without --text"
        )
    split = pre_tokenizers.Split(Regex(SPLITS[pre]), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentence_piece(metadata: Mapping[str, Any], tokens: list[str], name: str) -> "Tokenizer":
    """SentencePiece BPE: the pair that makes the piece of the highest score is merged first."""
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE

    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise ModelError(f"'{name}' has no score for each token of its tokenizer; download it again")
    unknown = metadata.get("tokenizer.ggml.unknown_token_id", 0)
    vocabulary = {text: index for index, text in enumerate(tokens)}
    tokenizer = Tokenizer(
        BPE(
            vocabulary,
            merges_of(tokens, scores, token_kinds(metadata, tokens)),
            unk_token=tokens[unknown] if isinstance(unknown, int) and unknown < len(tokens) else None,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend(SPACE)] if prefix else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    strip = [decoders.Strip(" ", 1, 0)] if prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return finish(tokenizer, metadata, tokens, default_bos=True)


def merges_of(tokens: list[str], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, those that make the tokens of the highest scores first."""
    plain = {text: index for index, text in enumerate(tokens) if kinds[index] not in (CONTROL, UNUSED, BYTE)}
    found = []
    for text, index in plain.items():
        parts = [
            (plain[text[:at]], plain[text[at:]], text[:at], text[at:])
            for at in range(1, len(text))
            if text[:at] in plain and text[at:] in plain
        ]
        found += [(-scores[index], index, *part) for part in sorted(parts)]
    found.sort(key=lambda entry: entry[:2])
    return [(entry[-2], entry[-1]) for entry in found]


def token_kinds(metadata: Mapping[str, Any], tokens: list[str]) -> list[int]:
    """The kind of each token; normal where the file does not say."""
    kinds = metadata.get("tokenizer.ggml.token_type")
    return kinds if isinstance(kinds, list) and len(kinds) == len(tokens) else [1] * len(tokens)


def finish(
    tokenizer: "Tokenizer", metadata: Mapping[str, Any], tokens: list[str], *, default_bos: bool
) -> "Tokenizer":
    """Add the tokens that are never split, and the one that begins a text."""
    from tokenizers import processors

    kinds = token_kinds(metadata, tokens)
    added = [added_token(text, kind) for text, kind in zip(tokens, kinds, strict=True)]
    tokenizer.add_special_tokens([token for token in added if token is not None and token.special])
    tokenizer.add_tokens([token for token in added if token is not None and not token.special])
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if (
        metadata.get("tokenizer.ggml.add_bos_token", default_bos)
        and isinstance(bos, int)
        and bos < len(tokens)
    ):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[tokens[bos], "$A"],
            pair=[tokens[bos], "$A", tokens[bos], "$B"],
            special_tokens=[(tokens[bos], bos)],
        )
    return tokenizer


def added_token(text: str, kind: int) -> "AddedToken | None":
    """A token that is found in a text as it stands; None for one that only merging makes."""
    from tokenizers import AddedToken

    if kind not in (CONTROL, USER_DEFINED) or not text:
        return None
    return AddedToken(text, normalized=False, special=kind == CONTROL)
