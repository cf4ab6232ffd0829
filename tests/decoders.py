"""Small tokenizers with every kind of decoder that treats some tokens unlike others."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

PIECES = ("▁▁▁", "▁return", "▁x", "▁*", "▁2", "def", "▁def", "▁▁▁▁")


def byte_fallback(kind: str) -> Tokenizer:
    """As sentencepiece models have it: bytes for what is not in the vocabulary, a metaspace for a space."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for character in "▁" + "".join(map(chr, range(33, 127))):
        vocab.setdefault(character, len(vocab))
    merges: list[tuple[str, str]] = []
    for piece in PIECES:
        for end in range(1, len(piece)):
            pair = (piece[:end], piece[end])
            if pair not in merges:
                merges.append(pair)
            vocab.setdefault(piece[: end + 1], len(vocab))
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    spaces = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    if kind == "strip":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = spaces
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return with_special(tokenizer)


def byte_level() -> Tokenizer:
    """As GPT-2 and Qwen have it: a token is bytes, and may be a part of a character."""
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("Ġ", "Ġ"), ("d", "e"), ("de", "f"), ("Ã", "©"), ("Ċ", "def")]
    for one, other in merges:
        vocab[one + other] = len(vocab)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return with_special(tokenizer)


def word_pieces(cleanup: bool) -> Tokenizer:
    """As BERT has it: a space before each word but the first, none before its later pieces."""
    words = ["[UNK]", "def", "return", "x", "##y", ".", ",", "\n", "##\n", "é", "##def", "'", "s", "2"]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    return with_special(tokenizer)


def word_ends() -> Tokenizer:
    """As older models have it: a mark at the end of a word, which is a space unless it is the last."""
    characters = [*map(chr, range(33, 127)), "é", "✓"]
    words = [*characters, *(f"{c}</w>" for c in characters)]
    vocab = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return with_special(tokenizer)


def with_special(tokenizer: Tokenizer) -> Tokenizer:
    """With a token at the end of the vocabulary that decoding leaves out."""
    tokenizer.add_special_tokens([AddedToken("<|skip|>", special=True, normalized=False)])
    return tokenizer


DECODERS = {
    "strip": byte_fallback("strip"),
    "metaspace": byte_fallback("metaspace"),
    "byte level": byte_level(),
    "word pieces": word_pieces(cleanup=False),
    "word pieces, cleaned": word_pieces(cleanup=True),
    "word ends": word_ends(),
}
