"""Which files of a model's folder say how it reads text: names alone, nothing is parsed here."""

from pathlib import Path

VOCABULARIES = (  # files that hold a vocabulary, in whatever format
    "tokenizer.json",
    "tokenizer.*.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
    "*.model",
    "tokenizer.model.*",
    "*.tiktoken",
)
BESIDE = ("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def vocabulary_files(folder: Path) -> list[Path]:
    """The files of a folder that hold a vocabulary, sorted."""
    return _files(folder, VOCABULARIES)


def tokenizer_files(folder: Path) -> list[Path]:
    """Every file of a folder that can change how text becomes tokens, sorted."""
    return _files(folder, (*VOCABULARIES, *BESIDE))


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
