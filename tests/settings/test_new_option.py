"""A new option is one field: everything that lists options finds it there."""

from pathlib import Path

import pytest
import typer

from quantbench.errors import UsageError
from quantbench.plan import Trial
from quantbench.planning.build import base_trial
from quantbench.planning.unused import Situation, check_unused
from quantbench.settings import (
    Engine,
    Facts,
    GenerationSettings,
    RunSettings,
    merge_config,
    option,
    read_settings,
)
from quantbench.settings.command_line import command_of
from quantbench.settings.groups import TASKS
from quantbench.sources import open_source
from tests.builders import make_record


class ToyGeneration(GenerationSettings):
    """The generation's options, and one that is new: this is all that is written for it."""

    min_p_s: float = option(
        0.25, "Least share of the most likely token.", facts=Facts(needs=(TASKS,)), ge=0, le=1
    )


class ToySettings(RunSettings):
    generation: ToyGeneration = ToyGeneration()


def toy_trial(settings: ToySettings) -> Trial:
    """The settings as a plan makes a trial of them."""
    asked = settings.changed(device="cpu", dtype="float32", protocols=("completion",))
    return base_trial(asked, open_source("builtin"), {}).changed(method="fp16")


def called(*arguments: str) -> list[ToySettings]:
    """The settings that a command line gives."""
    found: list[ToySettings] = []

    def act(settings: ToySettings, as_json: bool) -> int:
        found.append(settings)
        return 0

    app = typer.Typer(rich_markup_mode=None)
    app.command()(command_of(ToySettings, "A summary.", act))
    app(list(arguments), standalone_mode=False)
    return found


def test_help_has_its_sentence_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    called("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--min-p <float> Least share of the most likely token. [default: 0.25]" in text


def test_the_command_line_reads_it() -> None:
    (settings,) = called("--min-p", "0.5")
    assert settings.generation.min_p_s == 0.5
    assert settings.given == {"min_p_s"}


def test_its_bounds_are_said_by_its_name() -> None:
    with pytest.raises(UsageError, match="--min-p must be at most 1"):
        called("--min-p", "1.5")


def test_a_configuration_file_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("min-p: 0.75")
    options = merge_config(ToySettings, {"config": tmp_path / "config.yaml"})
    assert read_settings(ToySettings, options).generation.min_p_s == 0.75


def test_a_slip_of_the_pen_is_told_of_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("min-pp: 0.75")
    with pytest.raises(UsageError, match="did you mean 'min_p'"):
        merge_config(ToySettings, {"config": tmp_path / "config.yaml"})


def test_it_is_refused_where_it_would_change_nothing() -> None:
    (settings,) = called("--min-p", "0.5")
    situation = Situation(device="cpu", runs=(("fp16", Engine.NATIVE),), tasks=())
    with pytest.raises(UsageError, match="--min-p has no effect here: no task is run"):
        check_unused(settings, situation)


def test_the_trial_has_it_and_its_id_hashes_it() -> None:
    one, other = (toy_trial(called("--min-p", value)[0]) for value in ("0.5", "0.6"))
    assert one.to_dict()["min_p_s"] == 0.5
    assert one.id != other.id


def test_the_record_keeps_it() -> None:
    trial = toy_trial(called("--min-p", "0.5")[0])
    assert make_record(trial).model_dump(mode="json")["trial"]["min_p_s"] == 0.5


def test_two_options_of_one_name_are_refused_by_name() -> None:
    class Twice(RunSettings):
        seed: int = option(0, "A second seed.")

    with pytest.raises(TypeError, match="two options 'seed'"):
        command_of(Twice, "A summary.", lambda settings, as_json: 0)
