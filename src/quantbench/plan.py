"""What is to be run: a Trial is one model under one method with every setting; a Plan is all of them.

Nothing here runs anything, and nothing is 'auto' any more: the command line resolves defaults
before it builds a Trial. A Trial's id hashes every setting that can change a number, so that a
record can be reused exactly when the same question is asked again.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

PASSES_A_ROUND = 2  # speed is measured forth and back over the methods: A B C, C B A


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model x method with its settings; all lengths in tokens, all times in seconds."""

    model: str  # hub id, folder, 'builtin' or 'random:NAME'
    method: str  # a key of methods.METHODS
    device: str  # 'cpu' or 'cuda:N'
    revision: str | None = None  # the hub's commit, or the content hash of a folder
    engine: str = "native"  # 'native' or 'transformers'
    dtype: str = "float16"  # of activations and of what a method leaves unquantized
    trust_remote_code: bool = False
    batch_invariant: bool = False  # asked of the native engine: completions do not depend on their batch
    exact_prompts: bool = False  # asked of the native engine: prompts keep all bits of their activations
    seed: int = 0
    threads: int | None = None  # CPU threads; None leaves torch's own choice

    tasks: tuple[str, ...] = ()
    task_data: str | None = None
    task_digests: tuple[str, ...] = ()  # of the problems' content, so that changed data make another trial
    limit: int | None = None
    batch_size: int = 64
    max_new_tokens: int | None = None  # None is the task protocol's own limit
    completions_per_problem: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    unsafe_no_sandbox: bool = False

    batch_sizes: tuple[int, ...] = (1,)  # of the speed sweep; the first is the headline
    prompt_tokens: tuple[int, ...] = (128,)  # of the speed sweep; the first is the headline
    new_tokens: int = 128
    speed_budget_s: float = 20.0

    text: str | None = None  # file to measure the distance from the baseline on; None: the tasks' problems
    reference: str | None = None  # id of the baseline's trial whose predictions this one is compared with

    # 'method'; 'floor': the baseline again in another batch shape; 'scale': another number format of it,
    # shown for scale; 'round': speed alone, in a later pass
    role: str = "method"
    round: int = 0  # the pass over the methods that this trial belongs to, from 0

    @property
    def id(self) -> str:
        """Sixteen hex digits that change when any setting that can change a number changes."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, as JSON would give it back (tuples are lists)."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def label(self) -> str:
        """How the trial is named where a reader meets it: the method, marked for a floor or a later pass."""
        if self.role == "round":
            return f"{self.method}-pass-{self.round + 1}"
        return self.method if self.role == "method" else f"{self.method}-{self.role}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All trials of one run, in the order in which they run; the baseline is one of the methods."""

    trials: tuple[Trial, ...]
    baseline: str
    notes: tuple[str, ...] = ()  # what is not measured that was not ruled out by name, as sentences

    def pending(self, recorded: Iterable[str]) -> tuple[Trial, ...]:
        """The trials whose ids are not among `recorded`."""
        done = set(recorded)
        return tuple(trial for trial in self.trials if trial.id not in done)


def trial_from_dict(data: dict[str, Any]) -> Trial:
    """Rebuild a Trial from what `to_dict` made of it; keys that no Trial has are ignored."""
    known = {f.name for f in fields(Trial)}
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k in known
    }
    return Trial(**values)
