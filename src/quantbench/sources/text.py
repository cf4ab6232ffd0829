"""What a model brings for reading text: its tokenizer, and the tokens that end a text."""

from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.folder import read_json
from quantbench.sources.source import ModelSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load_tokenizer(source: ModelSource) -> "Tokenizer | None":
    """The tokenizer of tokenizer.json, without padding and truncation; None where there is no such file."""
    path = source.folder / "tokenizer.json" if source.folder else None
    if path is None or not path.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        raise ModelError(f"'{path}' is damaged ({error}); download or save the model again") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def eos_ids(source: ModelSource) -> frozenset[int]:
    """The end-of-text tokens that generation_config.json and config.json name."""
    ids = _ids(source.config.get("eos_token_id"))
    path = source.folder / "generation_config.json" if source.folder else None
    if path is not None and path.is_file():
        ids |= _ids(read_json(path).get("eos_token_id"))
    return ids


def _ids(value: Any) -> frozenset[int]:
    values = value if isinstance(value, list) else [value]
    return frozenset(item for item in values if isinstance(item, int))
