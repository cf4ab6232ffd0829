"""What a model brings for reading text: its tokenizer, and the tokens that end a text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.folder import read_json
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.source import ModelSource
from quantbench.sources.tokenizer_files import vocabulary_files
from quantbench.sources.transformers_tokenizer import Resolved, resolve_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OWN = "builtin"  # the one model whose tokenizer.json is read as it stands: it is defined here


def load_tokenizer(source: ModelSource) -> "Tokenizer | None":
    """The tokenizer that transformers makes of the model's files; None where no file holds a vocabulary.

    Padding and truncation are off. ModelError with the reason where the files are damaged or unknown.
    """
    if isinstance(source, GgufSource):
        return source.tokenizer()
    folder = source.folder
    if folder is None or not vocabulary_files(folder):
        return None
    from tokenizers import Tokenizer

    if source.name == OWN:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        resolved = resolve(source, folder)
        tokenizer = Tokenizer.from_str(resolved.serialized)
        tokenizer.encode_special_tokens = resolved.encode_special_tokens
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def resolve(source: ModelSource, folder: Path) -> Resolved:
    """What transformers makes of the folder; ModelError that names a damaged tokenizer.json as such."""
    cached = source.revision == folder.name  # a snapshot in the hub's cache is named by its commit
    model, revision = (source.name, source.revision) if cached else (str(folder), None)
    try:
        return resolve_tokenizer(folder, model=model, revision=revision)
    except ModelError:
        check_readable(folder)
        raise


def check_readable(folder: Path) -> None:
    """ModelError for a tokenizer.json that the library cannot read."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        if path.is_file():
            Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise ModelError(f"'{path}' is damaged ({error}); download or save the model again") from error


def eos_ids(source: ModelSource) -> frozenset[int]:
    """The tokens that end a text: of generation_config.json where there is one, of config.json otherwise."""
    path = source.folder / "generation_config.json" if source.folder else None
    if path is not None and path.is_file():
        return _ids(read_json(path).get("eos_token_id"))
    inner = source.config.get("text_config") or {}
    return _ids(source.config.get("eos_token_id")) or _ids(inner.get("eos_token_id"))


def _ids(value: Any) -> frozenset[int]:
    values = value if isinstance(value, list) else [value]
    return frozenset(item for item in values if isinstance(item, int) and not isinstance(item, bool))
