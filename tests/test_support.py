"""What can be measured is measured, and what cannot is said in one sentence that leads somewhere."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantbench import commands
from quantbench.errors import ModelError, QuantbenchError, UsageError
from quantbench.methods import LIBRARIES, METHODS
from quantbench.output import Output
from quantbench.planning import build_plan
from quantbench.settings import RunSettings
from quantbench.settings.commands import MethodsSettings
from tests.gguf_files import write_tiny
from tests.model_folders import tiny_config, write_folder

ELSEWHERE = ("gemma", "phi", "gpt2", "falcon", "mamba2")
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 64}
HERE: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "qwen3": {},
    "llama": {},
    "mistral": {},
    "gemma2": {"hidden_activation": "gelu_pytorch_tanh"},
    "gemma3_text": {},
    "phi3": {},
    "olmo2": {},
    "smollm3": {},
    "granite": {},
    "gpt_neox": {},
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 64},
    "qwen3_moe": EXPERTS,
    "mixtral": {"num_local_experts": 2},
}


def folder(path: Path, kind: str, **settings: Any) -> str:
    """A folder of this model_type; families without a layout may hold any tensors."""
    if kind in HERE:
        changes = {"architectures": None, "head_dim": 32, **HERE[kind], **settings}
        config = tiny_config(model_type=kind, **changes)
        from quantbench.sources.random_weights import RandomSource

        source = RandomSource("m", config, seed=0)
        return str(write_folder(path, {name: source.tensor(name) for name in source.names()}, config))
    return str(write_folder(path, config={"model_type": kind, **settings}))


def planned(model: str, **settings: Any) -> list[str]:
    return list(engines(model, **settings))


def engines(model: str, **settings: Any) -> dict[str, str]:
    """Each method of a plan and the engine that is to run it."""
    plan, _ = build_plan(RunSettings(model=model, tasks=("none",), device="cpu", **settings))
    return {trial.method: trial.load.engine for trial in plan.trials if trial.role == "method"}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_default_run_measures_every_architecture_under_the_default_methods(
    kind: str, tmp_path: Path
) -> None:
    assert engines(folder(tmp_path, kind)) == dict.fromkeys(("fp16", "int8", "int4"), "transformers")


@pytest.mark.parametrize("kind", HERE)
def test_a_family_of_the_native_engine_runs_under_every_method(kind: str, tmp_path: Path) -> None:
    model = folder(tmp_path, kind)
    assert planned(model) == ["fp16", "int8", "int4"]
    every = tuple(name for name in METHODS if name not in ("stored", *LIBRARIES))
    assert planned(model, methods=every) == ["fp16", *(m for m in every if m != "fp16")]


@pytest.mark.parametrize("settings", [{}, {"engine": "transformers"}])
def test_following_a_refusals_advice_leads_to_a_run(settings: dict[str, str], tmp_path: Path) -> None:
    model = folder(tmp_path, "gpt2")
    with pytest.raises(UsageError) as refusal:
        planned(model, methods=("mixed",), **settings)
    advice = str(refusal.value).rpartition("; ")[2]
    methods = advice.removeprefix("take ").partition(", or")[0].split(",")
    assert planned(model, methods=tuple(methods), **settings)


def test_every_method_runs_with_the_engine_that_can_run_it(tmp_path: Path) -> None:
    model = folder(tmp_path, "llama")
    assert engines(model, engine="transformers", methods=("fp16", "mixed")) == {
        "fp16": "transformers",
        "mixed": "native",
    }
    assert set(engines(model, methods=("fp16", "int8")).values()) == {"native"}


def test_a_plan_of_two_engines_says_which_runs_what(tmp_path: Path) -> None:
    settings = RunSettings(
        model=folder(tmp_path, "llama"),
        tasks=("none",),
        device="cpu",
        engine="transformers",
        methods=("fp16", "int8", "mixed"),
    )
    plan, _ = build_plan(settings)
    (note,) = plan.notes
    assert note.startswith("two engines run: fp16 and int8 with transformers, mixed with quantbench")


def test_methods_left_to_us_run_with_the_engine_that_was_asked_for(tmp_path: Path) -> None:
    every = engines(folder(tmp_path, "llama"), engine="transformers")
    assert every == dict.fromkeys(("fp16", "int8", "int4"), "transformers")


def test_batch_invariance_is_refused_for_the_methods_that_cannot_promise_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is to run under fp16, int8 with transformers"):
        planned(
            folder(tmp_path, "llama"), engine="transformers", methods=("fp16", "int8"), batch_invariant=True
        )


def test_the_refusal_of_our_engine_leads_to_transformers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model_type 'gpt2' is not among .*; leave --engine out"):
        planned(folder(tmp_path, "gpt2"), engine="native")


def test_a_checkpoint_that_is_already_quantized_runs_as_it_is_stored(tmp_path: Path) -> None:
    model = folder(tmp_path, "llama", quantization_config={"quant_method": "gptq", "bits": 4})
    assert planned(model) == ["stored"]
    assert engines(model, methods=("stored", "fp16", "int4")) == dict.fromkeys(
        ("stored", "fp16", "int4"), "native"
    )


def test_a_gguf_file_runs_as_it_is_stored(tmp_path: Path) -> None:
    assert planned(str(write_tiny(tmp_path / "m.gguf"))) == ["stored"]


def test_a_model_that_is_not_quantized_has_nothing_stored(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"'stored' cannot run here: .* is not quantized; take fp16,int8,int4, or"
    ):
        planned(folder(tmp_path, "llama"), methods=("stored",))


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("gpt2", {}, "model_type 'gpt2' is not among"),
        ("llama", {"engine": "transformers"}, "quantbench's engine alone reads it; leave --engine out"),
    ],
)
def test_a_quantized_checkpoint_that_nothing_here_reads_is_refused(
    kind: str, settings: dict[str, str], reason: str, tmp_path: Path
) -> None:
    model = folder(tmp_path, kind, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match=f"is already quantized and cannot be run: .*{reason}"):
        planned(model, **settings)


def test_a_model_that_writes_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has a causal language model of model_type 'vit'"):
        planned(folder(tmp_path, "vit"))


def test_a_model_with_code_of_its_own_asks_for_trust(tmp_path: Path) -> None:
    code = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    model = folder(tmp_path, "mine", auto_map=code)
    with pytest.raises(ModelError, match="add --trust-remote-code"):
        planned(model)
    assert planned(model, trust_remote_code=True) == ["fp16", "int8", "int4"]


def shown(model: str | None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200)
    commands.methods(MethodsSettings(model=model, device="cpu"), Output(console), console)
    return out.getvalue()


def test_methods_of_a_model_are_told_in_one_sentence_and_a_table(tmp_path: Path) -> None:
    text = shown(folder(tmp_path, "gpt2"))
    assert "runs with transformers under fp32, bf16, fp16, int8" in text
    assert "mixed needs quantbench's engine, and it cannot run this model" in text
    assert "no: quantbench's engine alone shares out its bits" in text
    assert "runs with quantbench's engine under every method" in shown(folder(tmp_path / "llama", "llama"))


def test_methods_without_a_model_tell_of_the_machine_alone() -> None:
    assert "engine" not in shown(None).partition("\n")[0]


def test_methods_of_a_model_that_is_not_there_are_a_users_error() -> None:
    with pytest.raises(QuantbenchError, match="no folder"):
        shown("./nowhere")
