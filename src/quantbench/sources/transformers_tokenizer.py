"""The tokenizer that transformers makes of a folder's files, as the `tokenizers` library serializes it.

transformers decides by many rules: which class, which of several files, which added tokens, whether the
stored pipeline or that of the class. So it is asked, once a folder: in a process of its own, because
importing it takes seconds and memory that a trial would measure; the answer is kept in the user's cache. No
code of a model repository is run, and nothing is fetched.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from quantbench.errors import ModelError
from quantbench.sources.tokenizer_files import tokenizer_files
from quantbench.user_cache import keep, user_cache

SECONDS = 300  # a vocabulary converts in a few; a machine may be busy
SMALLEST = 8  # tokens: what a tokenizer class makes up where none of its files is there has fewer


@dataclass(frozen=True, slots=True)
class Resolved:
    """A tokenizer as JSON, and the one setting of it that this form does not hold."""

    serialized: str
    encode_special_tokens: bool


def resolve_tokenizer(folder: Path, *, model: str, revision: str | None = None) -> Resolved:
    """What transformers makes of a folder's files; ModelError with its reason where it fails.

    `model` is the folder, or the hub id of which it is the cached `revision`.
    """
    place = cache_folder() / f"{digest_of(folder, model)}.json"
    try:
        return parse(json.loads(place.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    answer = ask(model, revision) if "transformers" in sys.modules else ask_elsewhere(model, revision)
    if "error" in answer:
        raise ModelError(
            f"transformers makes no tokenizer of the files of '{model}' ({answer['error']}); "
            "save it with a tokenizer.json, or use --tasks none without --text"
        )
    keep(place, json.dumps(answer).encode())
    return parse(answer)


def parse(answer: dict[str, Any]) -> Resolved:
    """The answer of `ask`; KeyError or TypeError where it is none."""
    return Resolved(str(answer["tokenizer"]), bool(answer["encode_special_tokens"]))


def digest_of(folder: Path, model: str) -> str:
    """Changes with the files that say how text is read, and with the libraries that read them."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *tokenizer_files(folder)]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    for library in ("transformers", "tokenizers"):
        digest.update(f"{library} {version(library)}\0".encode())
    if Path(model) != folder:
        digest.update(model.encode())
    return digest.hexdigest()[:32]


def cache_folder() -> Path:
    """The user's own cache folder for resolved tokenizers."""
    return user_cache("tokenizers")


def ask_elsewhere(model: str, revision: str | None) -> dict[str, Any]:
    """`ask` in a process of its own."""
    command = [sys.executable, "-m", "quantbench.sources.transformers_tokenizer", model, revision or ""]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=SECONDS
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"it took more than {SECONDS} s"}
    except (IndexError, ValueError):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return {"error": lines[-1] if lines else f"it ended with status {done.returncode}"}
    return dict(answer)


def ask(model: str, revision: str | None) -> dict[str, Any]:
    """The answer in this process: 'tokenizer' and 'encode_special_tokens', or 'error' with the reason."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(
            model, revision=revision or None, trust_remote_code=False, local_files_only=True
        )
        backend = getattr(found, "backend_tokenizer", None)
        if backend is None:
            return {"error": f"a {type(found).__name__} has no form that runs without transformers"}
        if len(found) <= SMALLEST and not Path(model, "tokenizer.json").is_file():
            return {"error": f"a {type(found).__name__} finds no vocabulary in them"}
        return {"tokenizer": backend.to_str(), "encode_special_tokens": bool(found.split_special_tokens)}
    except Exception as error:  # whatever the libraries, or a damaged file, raise
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}


if __name__ == "__main__":
    print(json.dumps(ask(sys.argv[1], sys.argv[2] or None)))
