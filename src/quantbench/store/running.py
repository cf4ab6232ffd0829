"""Which trials run now: a small file each in `.running/`, for whoever looks at the folder meanwhile.

What a killed run left there means nothing: only while a run holds the folder's lock does any trial run.
"""

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = ".running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial that runs: since when (seconds since 1970), and where if that was said."""

    since: float
    where: str | None = None


def clear_running(folder: Path) -> None:
    """Forget what an earlier run left; nothing runs yet."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def note_running(folder: Path, trial_id: str, where: str | None = None) -> None:
    """A trial begins; a disk that refuses costs the note alone."""
    with contextlib.suppress(OSError):
        (folder / FOLDER).mkdir(exist_ok=True)
        (folder / FOLDER / trial_id).write_text(json.dumps({"since": time.time(), "where": where}))


def note_ended(folder: Path, trial_id: str) -> None:
    """It does not run any more."""
    with contextlib.suppress(OSError):
        (folder / FOLDER / trial_id).unlink(missing_ok=True)


def read_running(folder: Path) -> dict[str, Running]:
    """The trials that run, by id, where a run holds the folder."""
    found = {}
    for path in (folder / FOLDER).glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(path.read_bytes())
            found[path.name] = Running(since=float(note["since"]), where=note.get("where"))
    return found
