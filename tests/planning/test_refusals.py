"""An option that cannot work, or would change nothing, is said with its reason; none is ignored."""

import sys
from pathlib import Path

import pytest

from quantbench import cli
from tests.report_records import reference_records

CPU = ["run", "--device", "cpu", "--dry-run"]
BUILTIN = [*CPU, "builtin", "--tasks", "quickeval", "--unsafe-no-sandbox"]
NO_TASK = [*CPU, "random:smollm2-135m", "--tasks", "none"]


def call(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of `quantbench ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["quantbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("arguments", [BUILTIN, NO_TASK])
def test_the_plain_command_is_refused_for_nothing(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(arguments, monkeypatch) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*BUILTIN, "--top-p", "0.9"], "--top-p has no effect here: decoding is greedy"),
        (
            [*BUILTIN, "--revision", "main"],
            "--revision has no effect here: 'builtin' is not a model of the hub",
        ),
        ([*NO_TASK, "--revision", "main"], "--revision has no effect here"),
        ([*BUILTIN, "--trust-remote-code"], "--trust-remote-code has no effect here"),
        (
            [*BUILTIN, "--methods", "fp16", "--engine", "transformers", "--exact-prompts"],
            "--exact-prompts has",
        ),
        (
            [*BUILTIN, "--methods", "fp16", "--engine", "transformers", "--kv", "none,int8"],
            "--kv needs quantbench's engine, but 'builtin' is to run under fp16 with transformers",
        ),
        ([*BUILTIN, "--kv", "int4"], "unknown kv 'int4'"),
        ([*BUILTIN, "--methods", "fp32", "--dtype", "float16"], "--dtype has no effect here: fp32 on cpu"),
        ([*BUILTIN, "--floor", "--temperature", "0.8"], "--floor has no effect here"),
        ([*BUILTIN, "--prompt-tokens", "128,100000"], "--prompt-tokens 100000 with --new-tokens 128 needs"),
        ([*BUILTIN, "--new-tokens", "100000"], "--new-tokens 100000 needs"),
        ([*BUILTIN, "--max-new-tokens", "100000"], "--max-new-tokens 100000 leaves no room for a prompt"),
        ([*NO_TASK, "--limit", "3"], "--limit has no effect here: no task is run"),
        ([*NO_TASK, "--batch-size", "3"], "--batch-size has no effect here: no task is run"),
        ([*NO_TASK, "--max-new-tokens", "3"], "--max-new-tokens has no effect here: no task is run"),
        ([*NO_TASK, "--temperature", "1"], "--temperature has no effect here: no task is run"),
        ([*NO_TASK, "--unsafe-no-sandbox"], "--unsafe-no-sandbox has no effect here: no task is run"),
        ([*NO_TASK, "--floor"], "--floor has no effect here"),
        ([*NO_TASK, "--task-data", "x.jsonl"], "--task-data belongs to one task"),
        ([*CPU, "--tasks", "none,humaneval"], "--tasks none stands alone"),
        ([*CPU, "--tasks", "auto,quickeval"], "--tasks auto stands alone"),
        ([*CPU, "--tasks", "quickeval,quickeval"], "--tasks names quickeval twice"),
        ([*CPU, "--methods", "fp16,int8,int8"], "--methods names int8 twice"),
        ([*CPU, "--batch-sizes", "1,8,8"], "--batch-sizes names 8 twice"),
        ([*CPU, "--batch-sizes", "1,0"], "--batch-sizes must be at least 1"),
        ([*CPU, "--prompt-tokens", ","], "--prompt-tokens needs at least one number"),
        ([*CPU, "--format", ","], "--format names none of: md, html, json, csv"),
        ([*CPU, "-o", ""], "-o is empty"),
        ([*CPU, "--output-dir="], "--output-dir is empty"),
        ([*CPU, "--task-data", ""], "--task-data is empty"),
        ([*CPU, "--speed-budget", "0.0"], "--speed-budget must be a positive number of seconds"),
        ([*CPU, "--speed-budget", "nan"], "--speed-budget must be a positive number of seconds"),
        ([*CPU, "--speed-budget", "inf"], "--speed-budget must be a positive number of seconds"),
        ([*CPU, "--temperature", "nan"], "--temperature must be 0"),
        ([*CPU, "--temperature", "inf"], "--temperature must be 0"),
        ([*CPU, "--temperature", "1e-30"], "--temperature must be 0"),
        ([*CPU, "--top-p", "nan"], "--top-p must lie in"),
        ([*CPU, "--rounds", "200000"], "--rounds must be at most 1000"),
        ([*CPU, "--seed", "99999999999999999999"], "--seed must be at most"),
        ([*CPU, "--threads", "4096"], "more than this machine's"),
        ([*CPU, "--text", "missing.txt"], "no file 'missing.txt'"),
        (["recommend", "r", "--max-memory", "2"], "--max-memory: '2' is not a number with one of the units"),
        (["recommend", "r", "--max-ttft", "3"], "--max-ttft: '3' is not a number with one of the units"),
        (["recommend", "r", "--max-size", "0GB"], "--max-size must be more than nothing"),
        (["recommend", "r", "--min-recovery", "97"], "0.97 is 97 per cent"),
        (["recommend", "r", "--min-recovery", "nan"], "0.97 is 97 per cent"),
        (["recommend", "r", "--min-speed", "inf"], "--min-speed must be a positive number"),
        (["compare", "r", "r", "--tolerance", "3"], "0.03 is three per cent"),
        (["compare", "r", "r", "--tolerance", "nan"], "0.03 is three per cent"),
        (
            ["score", "s.jsonl", "--task", "none"],
            "unknown task 'none'; choose from: humaneval, humaneval+, mbpp+",
        ),
        (["score", "s.jsonl", "--k", "1,1"], "--k names 1 twice"),
        (["run", "no/such-model"], "'no/such-model' is not in the cache"),
        (["run", "./folder.gguf"], "there is no folder or file './folder.gguf'"),
    ],
)
def test_what_cannot_work_is_said(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments, monkeypatch) == 2
    error = capsys.readouterr().err
    assert sentence in error and "did you mean 'none'" not in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("batch-size: 8\nbatch_size: 16", "twice, spelled in two ways"),
        ("seed: 1\nseed: 2", "'seed' stands twice"),
        ("methods:", "'methods' has no value"),
        ("model: 2024-01-01", "'model' must be of type str, not date"),
        ("seed: 2024-13-45", "cannot read (month must be in 1..12)"),
        ("output_dir: 5", "'output_dir' must be a path"),
        ("output_dir: ''", "is empty"),
        ("model: ''", "'model' is empty"),
        ("temperature: .nan", "--temperature must be 0"),
        ("speed_budget: .inf", "--speed-budget must be a positive"),
        ("methods: {fp16: 1}", "--methods takes a list of names, nothing nested"),
        ("methods: [[fp16]]", "--methods takes a list of names, nothing nested"),
        ("rounds: 200000", "--rounds must be at most 1000"),
        ("format: []", "--format names none of: md, html, json, csv"),
        ("1: 2", "must hold keys and values"),
        ("[" * 20_000, "nested too deeply"),
        ("seed: " + "9" * 5000, "cannot read"),
        ("limit: 5", "--limit has no effect here"),
        ("speed_budget_s: 5", "did you mean 'speed_budget'"),
    ],
)
def test_a_configuration_that_cannot_work_is_said(
    yaml: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text(yaml)
    assert (
        call(
            ["run", "--device", "cpu", "--tasks", "none", "--dry-run", "--config", "config.yaml"], monkeypatch
        )
        == 2
    )
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1


def test_a_configuration_in_another_encoding_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_bytes("model: größe".encode("latin-1"))
    assert call(["run", "--config", "config.yaml"], monkeypatch) == 2
    assert "not in UTF-8" in capsys.readouterr().err


def test_a_mistyped_model_is_said_before_missing_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        call(["run", "no/such-model", "--tasks", "humaneval", "--task-data", "none.jsonl"], monkeypatch) == 2
    )
    assert "no/such-model" in capsys.readouterr().err


def test_a_folder_of_another_format_says_what_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("folder/pytorch_model.bin").write_bytes(b"weights")
    assert call(["run", "./folder"], monkeypatch) == 2
    assert "save_pretrained it as safetensors" in capsys.readouterr().err


def test_a_task_that_has_no_chat_is_not_asked_for_one_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["run", "builtin", "--protocols", "chat", "--dry-run"], monkeypatch) == 2
    assert "quickeval cannot be asked in a chat" in capsys.readouterr().err


def test_a_gguf_file_that_is_cut_off_is_damaged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("folder/model.gguf").write_bytes(b"GGUF")
    assert call(["run", "./folder"], monkeypatch) == 2
    assert "'folder/model.gguf' is damaged" in capsys.readouterr().err


def test_limits_in_range_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("r").mkdir()
    lines = [record.model_dump_json() + "\n" for record in reference_records()]
    Path("r/records.jsonl").write_text("".join(lines))
    assert call(["recommend", "r", "--max-memory", "0.9GB", "--min-recovery", "0.5"], monkeypatch) == 0
