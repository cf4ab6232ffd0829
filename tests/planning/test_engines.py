"""Which engines run what, how rows are called, and what is refused before anything is loaded."""

import sys
from pathlib import Path
from typing import Any

import pytest

from quantbench.errors import UsageError
from quantbench.plan import Plan, Role
from quantbench.planning import build_plan
from quantbench.settings import RunSettings, read_settings
from tests.gguf_files import write_tiny
from tests.model_folders import write_folder

SHORT = {"tasks": "none", "prompt_tokens": "8", "new_tokens": 8}


def planned(model: Path | str, **options: Any) -> Plan:
    plan, _ = build_plan(read_settings(RunSettings, {"model": str(model), **SHORT, **options}))
    return plan


def rows(plan: Plan) -> list[tuple[str, str]]:
    return [(t.name, str(t.load.engine)) for t in plan.trials if t.role is Role.METHOD]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine is installed, in this Python."""
    from quantbench.serving import finding

    monkeypatch.setattr(finding, "ask", lambda command: "1.0")
    for wanted in finding.INSTALLABLE.values():
        monkeypatch.setenv(wanted.variable, sys.executable)


@pytest.mark.usefixtures("here")
def test_one_file_in_two_engines_is_two_rows_named_by_method_and_engine(tmp_path: Path) -> None:
    plan = planned(write_tiny(tmp_path / "a.gguf"), engine="quantbench,llama.cpp")
    assert rows(plan) == [("stored @ quantbench", "native"), ("stored @ llama.cpp", "llama.cpp")]
    assert plan.baseline == "stored @ quantbench"


@pytest.mark.usefixtures("here")
def test_a_folder_in_three_engines_has_the_first_fp16_as_baseline(tmp_path: Path) -> None:
    plan = planned(write_folder(tmp_path / "m"), engine="quantbench,transformers,vllm", methods="fp16,int4")
    assert rows(plan) == [
        ("fp16 @ quantbench", "native"),
        ("fp16 @ transformers", "transformers"),
        ("fp16 @ vllm", "vllm"),
        ("int4 @ quantbench", "native"),
        ("int4 @ transformers", "transformers"),
    ]
    assert any("vLLM does not make int4" in note for note in plan.notes)


@pytest.mark.usefixtures("here")
def test_the_row_of_another_engine_may_be_the_baseline(tmp_path: Path) -> None:
    plan = planned(
        write_tiny(tmp_path / "a.gguf"), engine="quantbench,llama.cpp", baseline="stored @ llama.cpp"
    )
    assert rows(plan)[0] == ("stored @ llama.cpp", "llama.cpp")


@pytest.mark.usefixtures("here")
def test_one_in_process_engine_keeps_the_rows_and_ids_that_it_had(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    assert rows(planned(folder, methods="fp16", engine="quantbench")) == [("fp16", "native")]
    one, other = (planned(folder, methods="fp16", engine=name) for name in ("quantbench", "auto"))
    assert [trial.id for trial in one.trials] == [trial.id for trial in other.trials]


@pytest.mark.usefixtures("here")
def test_a_started_server_has_room_for_the_longest_request_and_the_largest_batch(tmp_path: Path) -> None:
    plan = planned(write_tiny(tmp_path / "a.gguf"), engine="llama.cpp", batch_sizes="1,3")
    assert (plan.trials[0].load.slots, plan.trials[0].load.context) == (3, 256)


REFUSED = {
    "llama.cpp and a folder": ("folder", {"engine": "llama.cpp"}, "reads GGUF files alone.*convert"),
    "vLLM and a file": ("file", {"engine": "vllm"}, "reads folders of safetensors"),
    "vLLM and no files": ("random:qwen2.5-0.5b", {"engine": "vllm"}, "reads folders of safetensors"),
    "an unknown engine": ("folder", {"engine": "lama.cpp"}, "did you mean 'llama.cpp'"),
    "auto beside others": ("folder", {"engine": "auto,vllm"}, "stands alone"),
    "two servers at one address": (
        "file",
        {"engine": "vllm,llama.cpp", "base_url": "http://a"},
        "one server's",
    ),
    "several methods of one server": (
        "folder",
        {"base_url": "http://a", "methods": "fp16,bf16"},
        "has one method",
    ),
    "slots without a server": ("folder", {"slots": 2}, "no engine behind a server"),
    "a context of a server that runs": ("folder", {"base_url": "http://a", "context": 512}, "runs already"),
    "a name without an address": ("file", {"engine": "llama.cpp", "served_name": "x"}, "no --base-url"),
    "threads of a server that runs": ("folder", {"base_url": "http://a", "threads": 1}, "runs already"),
    "a method that no engine runs": (
        "file",
        {"engine": "quantbench,llama.cpp", "methods": "stored,bnb-nf4"},
        "none of quantbench, llama.cpp runs 'bnb-nf4'|cannot run here",
    ),
    "batch invariance": (
        "file",
        {"engine": "llama.cpp", "batch_invariant": True},
        "needs quantbench's engine",
    ),
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_one_sentence(case: str, tmp_path: Path) -> None:
    kind, options, sentence = REFUSED[case]
    models = {"folder": tmp_path / "m", "file": tmp_path / "a.gguf"}
    write_folder(models["folder"])
    write_tiny(models["file"])
    with pytest.raises(UsageError, match=sentence):
        planned(models.get(kind, kind), **options)


def test_an_engine_that_is_not_installed_is_said_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTBENCH_LLAMA_CPP_PYTHON", sys.executable)
    monkeypatch.setattr("quantbench.serving.finding.ask", lambda command: None)
    with pytest.raises(UsageError, match=r"has no package xllamacpp.*pip install xllamacpp"):
        planned(write_tiny(tmp_path / "a.gguf"), engine="llama.cpp")
