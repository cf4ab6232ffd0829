"""Whether engines answer alike: the greedy answers of one checkpoint, token by token. Judges nothing.

A trial leaves its answers in the results folder and compares them with those that trials of other engines
have left there: how many are the same text, and where the others part. At that place it asks its own model
how far it prefers its token to the other's: a near tie is decided by rounding, a clear preference is not.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.decoding import Decoder, TellsNext
from quantbench.evaluation.generate import Sample
from quantbench.plan import Role, Trial
from quantbench.records import Agreement, Parting
from quantbench.store import make_folder, write_atomically
from quantbench.tasks.problem import Task

FOLDER = "answers"
AT = " @ "  # in the name of a row whose engine is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one trial has answered: problem -> its text, and its tokens."""

    row: str
    texts: Mapping[str, str]
    token_ids: Mapping[str, tuple[int, ...]]


def is_compared(trial: Trial) -> bool:
    """Whether answers of a trial can be those of another engine: greedy, one a problem, in a named engine."""
    greedy = trial.generation.temperature == 0 and trial.generation.completions_per_problem == 1
    return greedy and trial.role is Role.METHOD and AT in trial.name


def compare_answers(
    trial: Trial, task: Task, samples: Sequence[Sample], decoder: Decoder, folder: Path
) -> tuple[Agreement, ...]:
    """Leave this trial's answers, and compare them with those of other engines."""
    if not is_compared(trial):
        return ()
    own = Answers(
        row=trial.name,
        texts={sample.problem.task_id: sample.text for sample in samples},
        token_ids={sample.problem.task_id: sample.token_ids for sample in samples},
    )
    prompts = {sample.problem.task_id: sample.prompt_ids for sample in samples}
    asked = asked_of(trial, task)
    found = [agreement(task, own, other, prompts, decoder) for other in left_by_others(folder, trial, asked)]
    keep(folder, trial, task, asked, own)
    return tuple(one for one in found if one is not None)


def asked_of(trial: Trial, task: Task) -> dict[str, Any]:
    """What two trials must have in common for their answers to be compared."""
    return {
        "model": trial.model,
        "revision": trial.revision,
        "method": trial.method,
        "task": task.name,
        "protocol": task.protocol.label,
        "data": task.data_sha256,
        "longest": trial.generation.max_new_tokens,
    }


def agreement(
    task: Task, own: Answers, other: Answers, prompts: Mapping[str, Sequence[int]], decoder: Decoder
) -> Agreement | None:
    """Two engines on the problems that both have answered; None where there are none."""
    shared = [name for name in own.texts if name in other.texts]
    if not shared:
        return None
    same = [name for name in shared if own.texts[name] == other.texts[name]]
    partings = []
    for name in shared:
        if name in same:
            continue
        ours, theirs = own.token_ids[name], other.token_ids[name]
        place = first_difference(ours, theirs)
        margin = None
        if place < min(len(ours), len(theirs)):
            prefix = (*prompts[name], *ours[:place])
            margin = preference(decoder, prefix, ours[place], theirs[place])
        partings.append(Parting(task_id=name, token=place, margin=margin))
    return Agreement(
        row=other.row, task=task.name, answers=len(shared), identical=len(same), partings=tuple(partings)
    )


def first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """The first place at which two answers differ; the shorter one's length where it begins the other."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def preference(decoder: Decoder, prefix: Sequence[int], own: int, other: int) -> float | None:
    """By how many nats the model prefers its own token behind a prefix; None where it does not tell."""
    if isinstance(decoder, TellsNext):
        known = decoder.next_log_p(prefix, other)
        if known is None or own not in known or other not in known:
            return None
        return max(0.0, known[own] - known[other])
    (logits,) = decoder.score([(*prefix, own)], [len(prefix)])
    last = logits[len(prefix) - 1]
    return max(0.0, float(last[own] - last[other]))


def keep(folder: Path, trial: Trial, task: Task, asked: Mapping[str, Any], own: Answers) -> None:
    """Write a trial's answers for those that come after it."""
    path = folder / FOLDER / f"{trial.id}-{task.name}.json"
    make_folder(path.parent)
    content = {"asked": asked, "row": own.row, "engine": trial.load.engine, "texts": dict(own.texts)}
    content["token_ids"] = {name: list(ids) for name, ids in own.token_ids.items()}
    write_atomically(path, json.dumps(content).encode())


def left_by_others(folder: Path, trial: Trial, asked: Mapping[str, Any]) -> Iterator[Answers]:
    """Answers to the same questions by other engines, the newest of each; damaged files are none."""
    paths = sorted((folder / FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime)
    newest: dict[str, Answers] = {}
    for path in paths:
        try:
            found = json.loads(path.read_bytes())
            if found["asked"] != asked or found["engine"] == trial.load.engine:
                continue
            ids = {str(name): tuple(map(int, one)) for name, one in found["token_ids"].items()}
            newest[found["row"]] = Answers(row=found["row"], texts=found["texts"], token_ids=ids)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    yield from newest.values()
