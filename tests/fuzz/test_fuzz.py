"""Whatever a user's files and options hold: no traceback, one sentence for a mistake, no hang, little memory.

The short form tries 300 generated inputs, the long one 3,600; a failure names the kind and the seed.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from quantbench import cli
from quantbench.errors import QuantbenchError, SandboxError
from quantbench.measure.predictions import ReferenceMissing, ScoredText, load_reference
from quantbench.records import Outcome
from quantbench.sandbox.pool import Sandbox
from quantbench.sandbox.program import Execution, Program
from tests.fuzz.kinds import KINDS

LONGEST_S = 10
MOST_BYTES = 2_000_000_000
SHORT, LONG = 25, 300  # inputs of each of the twelve kinds


class Obliging:
    """A sandbox in which every program passes: what is read is tried here, not what is run."""

    mode = "none: a test"
    seed = 0

    def run(self, programs: Sequence[Program], on_done: Any = None) -> list[Execution]:
        return [Execution(outcome=Outcome.PASSED, detail="", seconds=0.1) for _ in programs]

    def collect(self, programs: Sequence[Program], variable: str) -> list[Any]:
        raise SandboxError("the reference failed")

    def close(self) -> None: ...


@contextmanager
def obliging(*arguments: Any, **options: Any) -> Iterator[Sandbox]:
    yield cast(Sandbox, Obliging())


class Hung(BaseException):
    """An input took too long."""


@contextmanager
def in_time(seconds: int) -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def command(arguments: list[str]) -> int | str | None:
    """How `quantbench ARGUMENTS` ends in this process."""
    sys.argv = ["quantbench", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


def use(kind: str, folder: Path) -> None:
    """Go on where a command leaves off: what a trial reads of the same files."""
    if kind == "predictions":
        try:
            load_reference(folder / "reference.npz", [ScoredText(name="a", token_ids=(1, 2, 3))])
        except ReferenceMissing:
            return
    if kind in ("model_config", "weight_header", "weight_index", "tokenizer_files"):
        from quantbench.methods import METHODS, LoadSettings
        from quantbench.sources import eos_ids, load_tokenizer, open_source

        try:
            source = open_source(str(folder / "m"))
            load_tokenizer(source)
            eos_ids(source)
            loaded = METHODS["fp32"].load(source, LoadSettings(device="cpu", dtype="float32"))
            for _ in loaded.decoder.score([(0, 1, 2)]):
                pass
        except QuantbenchError:
            return


def check(kind: str, seed: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One input of a kind; AssertionError with what was said."""
    arguments = KINDS[kind](Random(f"{kind}:{seed}"), folder)
    os.chdir(folder)
    start = time.process_time()
    try:
        with in_time(6 * LONGEST_S):
            code = command(arguments) if arguments else 0
            use(kind, folder)
    except Hung as hung:
        raise AssertionError(f"{kind} {seed}: {arguments} hung") from hung
    except Exception as error:
        raise AssertionError(
            f"{kind} {seed}: {arguments} ended in {type(error).__name__}: {error}"
        ) from error
    took = time.process_time() - start
    error_text = capsys.readouterr().err
    assert code in (0, 1, 2), f"{kind} {seed}: {arguments} ended with {code}"
    assert "Traceback" not in error_text, f"{kind} {seed}: {error_text}"
    said = [line for line in error_text.splitlines() if line.startswith("quantbench: ")]
    assert code != 2 or (len(said) == 1 and len(said[0]) < 1500), f"{kind} {seed}: {error_text[:2000]}"
    assert took < LONGEST_S, f"{kind} {seed}: {arguments} took {took:.0f} s"


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from quantbench.evaluation import score
    from quantbench.planning import resolving
    from quantbench.sources import transformers_tokenizer

    monkeypatch.setattr(resolving, "open_sandbox", obliging)
    monkeypatch.setattr(score, "open_sandbox", obliging)
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(transformers_tokenizer, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    yield


def check_many(kind: str, seeds: range, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "tokenizer_files":
        import transformers  # noqa: F401 (otherwise each file is read in a process of its own)
    failures = []
    for seed in seeds:
        (folder / str(seed)).mkdir()
        try:
            check(kind, seed, folder / str(seed), capsys)
        except AssertionError as error:
            failures.append(str(error)[:600])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert not failures, f"{len(failures)} of {len(seeds)}:\n" + "\n".join(failures[:40])
    assert peak < MOST_BYTES, f"{kind} took {peak:,} bytes"


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("kind", KINDS)
def test_no_input_ends_in_a_traceback(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_many(kind, range(SHORT), tmp_path, capsys)


@pytest.mark.long
@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("kind", KINDS)
def test_nor_do_thousands(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_many(kind, range(1000, 1000 + LONG), tmp_path, capsys)
