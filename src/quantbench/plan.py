"""What is to be run: a Trial is one model under one method with every setting; a Plan is all of them.

Nothing here runs anything, and nothing is 'auto' any more: planning resolves that before it builds a Trial.
A Trial's id hashes every setting that can change a number, so that a record can be reused exactly when the
same question is asked again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from pydantic import model_serializer, model_validator

from quantbench.settings import (
    ArrivalSettings,
    DistanceSettings,
    EvaluationSettings,
    GenerationSettings,
    LoadSettings,
    PerplexitySettings,
    Settings,
    SpeedSettings,
)
from quantbench.settings.base import nested, places_of
from quantbench.settings.option import ALWAYS, Facts, facts_of, option

PASSES_A_ROUND = 2  # speed is measured forth and back over the methods: A B C, C B A
UNSAID = {"engine": "native", "dtype": "float16", "tasks": ()}  # of a Trial written without them


class Role(StrEnum):
    """What a trial is for."""

    METHOD = "method"
    FLOOR = "floor"  # the baseline again in another batch shape
    SCALE = "scale"  # another number format of the baseline, shown for scale
    ROUND = "round"  # speed alone, in a later pass


class Trial(Settings):
    """One model x method with its settings, as they were asked for, save that nothing is open any more.

    Written and read flat: every option by its own name.
    """

    model: str  # hub id, folder, 'builtin' or 'random:NAME'
    revision: str | None = None  # the hub's commit, or the content hash of a folder
    method: str  # a key of methods.METHODS
    quantizers: tuple[str, ...] = option((), "Versions of what makes its weights.", facts=Facts(before=()))
    load: LoadSettings
    evaluation: EvaluationSettings
    task_digests: tuple[str, ...] = ()  # of the problems' content, so that changed data make another trial
    text_digests: tuple[str, ...] = option((), "Content of its texts.", facts=Facts(before=()))
    generation: GenerationSettings = GenerationSettings()
    speed: SpeedSettings = SpeedSettings()
    arrivals: ArrivalSettings = ArrivalSettings()
    distance: DistanceSettings = DistanceSettings()
    likelihood: PerplexitySettings = PerplexitySettings()
    reference: str | None = None  # id of the baseline's trial whose predictions this one is compared with
    row: str | None = option(None, "Its name in a table of several models.", facts=Facts(before=None))
    role: Role = Role.METHOD
    round: int = 0  # the pass over the methods that this trial belongs to, from 0

    @model_validator(mode="before")
    @classmethod
    def _group(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unsaid = {} if "load" in data or "evaluation" in data else UNSAID | _before()
        return nested(cls, {**unsaid, **data})

    @model_validator(mode="after")
    def _nothing_is_open(self) -> Self:
        asked = (*self.evaluation.tasks, *self.evaluation.protocols)
        if "auto" in (self.load.device, self.load.dtype, self.load.engine, *asked):
            raise ValueError("a trial with 'auto' is not planned yet")
        return self

    @model_serializer(mode="plain")
    def _write(self) -> dict[str, Any]:
        return self.flat()

    @property
    def id(self) -> str:
        """Sixteen hex digits that change when any setting that can change a number changes.

        An option that came later is left out while the trial does what trials before it did: their records
        are still this trial's.
        """
        values = self.flat()
        later = {name for name, before in _before().items() if values[name] == before}
        asked = {name: value for name, value in self.to_dict().items() if name not in later}
        canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name, as JSON would give it back (tuples are lists)."""
        return self.model_dump(mode="json")

    @property
    def name(self) -> str:
        """What its row is called: the method, or model and method where a table holds several models."""
        return self.row or self.method

    @property
    def label(self) -> str:
        """How the trial is named in files and while it runs: its row, marked for a floor or a later pass."""
        return label_of(self.name, self.role, self.round)

    @property
    def has_distance(self) -> bool:
        """Whether the trial has a task, or a text to be scored on."""
        return bool(self.evaluation.own_tasks) or self.distance.text is not None

    @property
    def reads_text(self) -> bool:
        """Whether the trial needs a tokenizer."""
        asked = self.evaluation.harness_tasks or self.likelihood.perplexity is not None
        return self.has_distance or bool(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One model of a sweep: its methods are compared with each other, and have a report of their own."""

    model: str
    name: str  # of its folder, and before its trials' labels
    baseline: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials of one run, in the order in which they run; the baseline is one of the methods."""

    trials: tuple[Trial, ...]
    baseline: str
    notes: tuple[str, ...] = ()  # what is not measured that was not ruled out by name, as sentences
    groups: tuple[Group, ...] = ()  # of a sweep: each model's own plan; their trials are all there are

    def name_of(self, trial: Trial) -> str:
        """How a trial is named while the plan runs, and in its files: in a sweep, behind its model."""
        group = self.group_of.get(trial.id)
        return f"{group.name}-{trial.label}" if group else trial.label

    @cached_property
    def by_id(self) -> Mapping[str, Trial]:
        """The trials in their order, by id; ids are hashes, which ten thousand trials make once."""
        return {trial.id: trial for trial in self.trials}

    @cached_property
    def group_of(self) -> Mapping[str, Group]:
        """Of a sweep: the group of each trial's id."""
        return {trial.id: group for group in self.groups for trial in group.trials}


def label_of(name: str, role: str, of_pass: int) -> str:
    """`Trial.label` of a trial whose row has this name."""
    name = name.replace(" ", "-")
    if role == Role.ROUND:
        return f"{name}-pass-{of_pass + 1}"
    return name if role == Role.METHOD else f"{name}-{role}"


def trial_from_dict(data: Mapping[str, Any]) -> Trial:
    """Rebuild a Trial from what `to_dict` made of it; keys that no Trial has are ignored."""
    known = places_of(Trial)
    return Trial.model_validate({name: value for name, value in data.items() if name in known})


def _before() -> dict[str, Any]:
    """What trials did before an option was there, by the options that came later."""
    known = {name: facts_of(place.field).before for name, place in places_of(Trial).items()}
    return {name: before for name, before in known.items() if before is not ALWAYS}
