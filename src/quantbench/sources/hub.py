"""Brings a model of the Hugging Face hub to this machine. HF_HOME, HF_TOKEN and HF_HUB_OFFLINE count.

Only configuration, tokenizer, safetensors and, unexecuted, the Python files are fetched; what is already in
the cache is not fetched again, and without a network the cached copy is used.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantbench.errors import ModelError

PATTERNS = [
    "*.json",
    "*.safetensors",
    "*.model",
    "*.tiktoken",
    "merges.txt",
    "vocab.txt",
    "*.jinja",
    "*.py",
]
IGNORED = ["*/*"]  # folders hold other formats: onnx, original weights


def fetch_snapshot(model: str, revision: str | None) -> tuple[Path, str]:
    """(the snapshot's folder, its commit); ModelError with the fix when it cannot be had whole."""
    import huggingface_hub

    with _plainly(model, revision):
        folder = Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=PATTERNS, ignore_patterns=IGNORED
            )
        )
    if lacking := _lacking(folder):
        raise ModelError(
            f"'{model}' in the cache has no {lacking}: its download is incomplete, or the repository holds "
            "no safetensors; run again while the hub can be reached and HF_HUB_OFFLINE is not set"
        )
    return folder, folder.name


def fetch_file(model: str, file: str, revision: str | None) -> tuple[Path, str]:
    """(one file of a repository, its commit); ModelError with the fix when it cannot be had."""
    import huggingface_hub

    with _plainly(model, revision, file):
        path = Path(huggingface_hub.hf_hub_download(model, file, revision=revision))
    parts = path.parts
    return path, parts[len(parts) - 1 - parts[::-1].index("snapshots") + 1]


def find_file_on_hub(model: str, file: str, revision: str | None) -> None:
    """ModelError with the fix when a repository has no such file; fetches nothing, and tries once."""
    import huggingface_hub
    from huggingface_hub import errors

    with _plainly(model, revision, file):
        if isinstance(huggingface_hub.try_to_load_from_cache(model, file, revision=revision), str):
            return
        try:
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(model, file, revision=revision))
        except errors.HfHubHTTPError:
            raise
        except _transport_error():
            raise ModelError(_not_cached(model, revision)) from None


def find_on_hub(model: str, revision: str | None) -> None:
    """ModelError with the fix when there is no such model; fetches nothing, and tries once."""
    find_file_on_hub(model, "config.json", revision)


def _lacking(folder: Path) -> str | None:
    """The first file that a snapshot must have and has not."""
    if not (folder / "config.json").is_file():
        return "config.json"
    indices = [path for path in folder.glob("*.safetensors.index.json") if not (folder / path.stem).exists()]
    try:
        shards = {
            str(shard) for path in indices for shard in json.loads(path.read_bytes())["weight_map"].values()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        shards = set()  # a damaged index is said when it is read
    missing = [shard for shard in sorted(shards) if not _is_file(folder, shard)]
    if missing:
        return f"'{missing[0][:100]}'"
    return None if shards or any(folder.glob("*.safetensors")) else "model.safetensors"


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except (OSError, ValueError):
        return False


@contextmanager
def _plainly(model: str, revision: str | None, file: str = "config.json") -> Iterator[None]:
    """The hub's errors as sentences that name the fix; `file` is the one without which nothing is read."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise ModelError(
            f"'{model}' is gated; accept its conditions at https://huggingface.co/{model} and set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"the hub has no public model '{model}'; check the spelling, or set HF_TOKEN if it is private"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"'{model}' has no revision '{revision}'; check --revision") from None
    except errors.HFValidationError:
        raise ModelError(f"'{model}' is neither a folder nor a hub id; check the spelling") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise ModelError(_not_cached(model, revision)) from None
    except errors.EntryNotFoundError:
        raise ModelError(_no_file(model, file)) from None
    except (_transport_error(), OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot fetch '{model}' from the hub: {reason}; try again later") from error


def _no_file(model: str, file: str) -> str:
    if file == "config.json":
        return (
            f"'{model}' on the hub has no config.json, so it is no transformers model; give one that has, or "
            f"one GGUF file of it as {model}:FILE.gguf"
        )
    return f"'{model}' on the hub has no file '{file}'; see https://huggingface.co/{model}/tree/main"


def _transport_error() -> type[Exception]:
    """The root of the errors of the HTTP library that huggingface_hub uses, whichever that is."""
    from huggingface_hub import errors

    root: type[Exception] = getattr(errors, "HTTPError", errors.HfHubHTTPError)
    return root


def _not_cached(model: str, revision: str | None) -> str:
    from huggingface_hub import constants

    which = f"'{model}' at '{revision}'" if revision else f"'{model}'"
    if constants.HF_HUB_OFFLINE:
        return f"{which} is not in the cache and HF_HUB_OFFLINE is set; unset it, or give a local folder"
    return (
        f"{which} is not in the cache and the hub cannot be reached; check the network, or give a local "
        "folder, 'builtin' or 'random:qwen2.5-0.5b'"
    )
