"""A user's mistake ends in one sentence that names the fix, exit code 2 and no traceback."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from quantbench import __version__, cli, commands
from quantbench.analysis.compare import TOLERANCE
from quantbench.evaluation.extraction import AS_IS
from quantbench.evaluation.figures import USUAL_K
from quantbench.settings import RunSettings
from quantbench.settings.base import places_of
from quantbench.settings.commands import ScoreSettings
from quantbench.settings.option import facts_of, help_of

COMMANDS = list(commands.COMMANDS)


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of `quantbench ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["quantbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "no/such-model-here", "--tasks", "none"], "no/such-model-here"),
        (["run", "random:qwen2.5-0.5", "--tasks", "none"], "did you mean"),
        (["run", "./missing-folder", "--tasks", "none"], "missing-folder"),
        (["run", "--methods", "fp16,in8"], "unknown method 'in8'; did you mean 'int8'"),
        (["run", "--methods", ","], "no methods given"),
        (["run", "--tasks", "humanevla"], "unknown task 'humanevla'; did you mean 'humaneval'"),
        (["run", "--task-data", "none.jsonl", "--tasks", "humaneval"], "no task data at"),
        (["run", "--device", "gpu"], "unknown device 'gpu'"),
        (["run", "--device", "cuda:99"], "cuda:99"),
        (["run", "--dtype", "fp8"], "unknown dtype 'fp8'"),
        (["run", "--engine", "onnx"], "unknown engine 'onnx'"),
        (["run", "--baseline", "bf16"], "add it there"),
        (["run", "--engine", "transformers", "--batch-invariant", "--methods", "fp16"], "--batch-invariant"),
        (["run", "--format", "pdf"], "unknown format 'pdf'"),
        (["run", "--limit", "0"], "--limit must be at least 1"),
        (["run", "--limit", "many"], "--limit"),
        (["run", "--batch-sizes", "1,x"], "whole numbers"),
        (["run", "--top-p", "2"], "--top-p"),
        (["run", "--completions-per-problem", "5"], "add --temperature"),
        (["run", "--config", "none.yaml"], "check --config"),
        (["run", "--bathc-size", "8"], "--batch-size"),
        (["run", "builtin", "--model", "builtin"], "given twice"),
        (["report", "no-such-folder"], "run `quantbench run` first"),
        (["methods", "--device", "tpu"], "unknown device 'tpu'"),
        (["rnu"], "No such command 'rnu'"),
    ],
)
def test_a_mistake_is_named_in_one_sentence(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert call(arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["report"], ["recommend"], ["compare", "old"]])
def test_a_folder_of_another_version_is_named_by_every_command_that_opens_one(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "records.jsonl").write_text('{"schema_version": 99}\n')
    assert call([*command, "old"], monkeypatch) == 2
    assert "schema version 99, this quantbench reads 1 to 3" in capsys.readouterr().err


def test_an_unwritable_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "results")
    assert call(["run", "--tasks", "none", "--output-dir", folder], monkeypatch) == 2
    assert "choose another --output-dir" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_fits_a_screen_and_has_an_example(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert call([command, "--help"], monkeypatch) == 0
    text = capsys.readouterr().out
    assert "Example: quantbench" in text
    assert len(text.splitlines()) <= 90


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_one_sentence_and_shows_its_default(command: str) -> None:
    for parameter in typer.main.get_command(cli.app).commands[command].params:  # type: ignore[attr-defined]
        text = getattr(parameter, "help", None) or ""
        if parameter.param_type_name == "option":
            assert re.fullmatch(r"[A-Z].*[^.]\. \[default: .+\]", text), (parameter.name, text)
        else:
            assert re.fullmatch(r"[A-Z].*\.( \[default: .+\])?", text), (parameter.name, text)


def test_the_defaults_that_are_shown_are_those_of_the_settings() -> None:
    texts = {name: help_of(place.field) for name, place in places_of(RunSettings).items()}
    assert texts["rounds"] == "Interleaved rounds of speed measurements. [default: 1]"
    assert texts["methods"].endswith("[default: those of fp16,int8,int4 that the model's engine runs]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--methods", "in8", "--json"], "unknown method 'in8'"),
        (["run", "--limit", "many", "--json"], "--limit"),
        (["report", "none", "--json"], "run `quantbench run` first"),
        (["recommend", "none", "--json"], "run `quantbench run` first"),
        (["compare", "none", "none", "--json"], "run `quantbench run` first"),
        (["score", "none", "--task", "nothing", "--json"], "unknown task 'nothing'"),
        (["methods", "--device", "tpu", "--json"], "unknown device 'tpu'"),
        (["doctor", "--json", "--jsn"], "No such option"),
    ],
)
def test_with_json_an_error_is_a_document(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "OUT", Console())
    assert call(arguments, monkeypatch) == 2
    document = json.loads(capfd.readouterr().out)
    assert list(document) == ["error"] and sentence in document["error"]


@pytest.mark.parametrize("command", [["methods"], ["run", "random:smollm2-135m", "--dry-run"]])
def test_with_json_standard_output_is_one_document(
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "OUT", Console())
    assert call([*command, "--device", "cpu", "--json"], monkeypatch) == 0
    assert json.loads(capfd.readouterr().out)


LIBRARIES = {"torch", "transformers", "scipy"}


@pytest.mark.parametrize(
    ("arguments", "slow"),
    [
        (["--help"], LIBRARIES | {"numpy", "quantbench.records", "quantbench.sources"}),
        (["run", "--dry-run", "--device", "cpu"], LIBRARIES),
    ],
    ids=["help", "plan"],
)
def test_what_runs_no_model_imports_nothing_that_takes_long(arguments: list[str], slow: set[str]) -> None:
    code = (
        f"import sys; sys.argv = ['quantbench', *{arguments}]\n"
        "from quantbench.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"assert not {slow} & set(sys.modules), {slow} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["--version"], monkeypatch) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "quantbench", "runn"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Did you mean 'run'?" in done.stderr and "Traceback" not in done.stderr


def test_a_path_that_the_system_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("samples.jsonl", "problems.jsonl"):
        (tmp_path / name).write_text("{}\n")
    given = ["score", str(tmp_path / "samples.jsonl"), "--task-data", str(tmp_path / "problems.jsonl")]
    assert call([*given, "--output", "a" * 300], monkeypatch) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_ends_a_command_in_silence() -> None:
    shell = f"set -o pipefail; {sys.executable} -m quantbench methods | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1) and not done.stderr


@pytest.mark.parametrize("spelling", ["--output-dir", "--output_dir"])
def test_options_take_dashes_and_underscores(
    spelling: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "random:smollm2-135m", "--tasks", "none", "--device", "cpu", "--dry-run"]
    assert call([*arguments, spelling, "here"], monkeypatch) == 0
    assert "int4" in capsys.readouterr().out


def test_ctrl_c_says_that_what_was_measured_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from quantbench import api

    def interrupted(*arguments: object, **options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "measure", interrupted)
    assert call(["run"], monkeypatch) == 130
    assert "what was measured is kept" in capsys.readouterr().err


def test_the_tolerance_that_compare_shows_is_the_one_it_uses() -> None:
    command = typer.main.get_command(cli.app).commands["compare"]  # type: ignore[attr-defined]
    shown = next(p.help for p in command.params if p.name == "tolerance")
    assert shown.endswith(f"[default: {TOLERANCE}]")


def test_the_defaults_of_score_are_those_that_it_uses() -> None:
    fields = {name: place.field for name, place in places_of(ScoreSettings).items()}
    assert fields["protocol"].default == AS_IS
    assert facts_of(fields["k"]).shown == ",".join(map(str, USUAL_K))
