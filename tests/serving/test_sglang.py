"""sglang through its command line, its answers and its log: against a program that stands for it."""

import sys
from pathlib import Path

import pytest

from quantbench.errors import ServerError, UsageError
from quantbench.records import Record
from quantbench.serving.finding import Found, find_engine
from quantbench.serving.launching import Asked
from quantbench.serving.sglang import SGLANG_ENGINE, launch_sglang, read_sglang
from quantbench.sources import open_source
from quantbench.trial import run_trial
from tests.builders import make_trial
from tests.model_folders import write_folder

ROOT = Path(__file__).parents[2]
PROGRAM = """#!{python}
import sys
sys.path[:0] = {paths!r}
from tests.serving.fake_sglang import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sglang")


@pytest.fixture(scope="module")
def record(folder: Path) -> Record:
    """Of a short trial in the program, under a command that is named as sglang's own."""
    program = folder / "sglang"
    program.write_text(PROGRAM.format(python=sys.executable, paths=[str(ROOT), str(ROOT / "src")]))
    program.chmod(0o755)
    asked = {"method": "fp16", "engine": "sglang", "engine_python": str(program), "threads": 1}
    short = {"prompt_tokens": (4,), "new_tokens": 6, "speed_budget_s": 0.01, "context": 64, "slots": 2}
    trial = make_trial(model=str(write_folder(folder / "tiny")), **asked, **short)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantbench.serving.echo.measure_overhead", lambda tokens: ((0.001,), (0.0001,)))
        return run_trial(trial, folder=folder, progress=lambda *_: None, checkpoint=lambda record: None)


def test_a_trial_starts_the_server_measures_it_and_keeps_its_log(record: Record, folder: Path) -> None:
    assert record.failure is None, record.failure
    assert record.served is not None and record.engine == "sglang"
    assert record.served.version == "sglang version 0.5.9"
    assert len(record.speed[0].decode_s) >= 2
    assert "KV Cache is allocated" in (folder / str(record.served.log_file)).read_text()


def test_the_cache_set_aside_is_kept_apart_from_the_one_in_use(record: Record) -> None:
    assert record.served is not None and record.memory is not None
    assert record.served.kv_pool_bytes == 3 * (1 << 30)
    assert record.memory.cache_bytes == round(0.25 * 3 * (1 << 30))


def test_its_log_is_read_for_kernels_and_weights() -> None:
    from tests.serving.fake_sglang import LOG

    facts = SGLANG_ENGINE.facts(LOG)
    assert facts["attention"] == "flashinfer"
    assert facts["weights"].endswith("mem usage=0.93 GB.")


def test_a_python_runs_the_module_with_the_same_options(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path / "tiny")))
    asked = Asked(method="bf16", device="cuda:0", threads=None, context=64, slots=3, port=5)
    launch = launch_sglang(Found(path="/p/python", is_python=True, version="1"), source, asked)
    assert launch.command[:3] == ("/p/python", "-m", "sglang.launch_server")
    options = dict(zip(launch.command, launch.command[1:], strict=False))
    assert options["--dtype"] == "bfloat16"
    assert (options["--context-length"], options["--max-running-requests"]) == ("64", "3")
    assert "--device" not in options and launch.environment == {"CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize("path", ["/no/such", sys.executable])
def test_without_sglang_the_way_to_install_it_is_said(path: str) -> None:
    with pytest.raises(UsageError, match=r"pip install sglang.*--engine-python sglang/bin/python"):
        find_engine("sglang", path)


def test_log_probabilities_of_other_tokens_are_refused() -> None:
    own = [[None, 1, None], [-1.0, 9, None]]
    with pytest.raises(ServerError, match="token 9 in place of 2"):
        list(
            read_sglang(
                {"meta_info": {"input_token_logprobs": own, "input_top_logprobs": [None, []]}}, [1, 2]
            )
        )
