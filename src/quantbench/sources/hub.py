"""Brings a model of the Hugging Face hub to this machine. HF_HOME, HF_TOKEN and HF_HUB_OFFLINE count.

Only configuration, tokenizer, safetensors and, unexecuted, the Python files are fetched; what is already in
the cache is not fetched again, and without a network the cached copy is used.
"""

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
    """(the snapshot's folder, its commit); ModelError with the fix when it cannot be had."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=PATTERNS, ignore_patterns=IGNORED
            )
        )
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
    except (_transport_error(), OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"cannot fetch '{model}' from the hub: {reason}; try again later") from error
    return folder, folder.name


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
