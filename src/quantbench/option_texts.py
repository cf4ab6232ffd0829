"""What `--help` says of each option of `quantbench run`: one sentence and the default, from the settings."""

from dataclasses import fields
from typing import Any

from quantbench.settings import RunSettings

SENTENCES = {
    "model": "Hub id, folder, 'builtin', or 'random:NAME' for random weights.",
    "model_option": "The model, in place of the argument.",
    "methods": "Methods to measure, separated by commas.",
    "baseline": "Method that the others are compared with.",
    "tasks": "Tasks to answer: humaneval, quickeval or none.",
    "task_data": "File with the task's problems (.jsonl, .jsonl.gz or .parquet).",
    "device": "Device: auto, cpu, cuda or cuda:N.",
    "dtype": "Type of activations: auto, fp16, bf16 or fp32.",
    "engine": "Engine: auto, native or transformers.",
    "batch_invariant": "Give the same answer in any batch, slower on a GPU.",
    "exact_prompts": "Multiply prompts on a CPU in float32, not in integers.",
    "revision": "Branch, tag or commit on the hub.",
    "trust_remote_code": "Run code that the model's repository brings along.",
    "limit": "Number of problems to answer, from the first on.",
    "seed": "Random seed.",
    "threads": "Number of CPU threads.",
    "batch_size": "Answers generated at once.",
    "max_new_tokens": "Most tokens of one answer.",
    "completions_per_problem": "Answers to each problem, for pass@k.",
    "temperature": "Sampling temperature; 0 is greedy.",
    "top_p": "Probability mass of nucleus sampling.",
    "batch_sizes": "Batch sizes of the speed measurement, separated by commas.",
    "prompt_tokens": "Prompt lengths of the speed measurement, separated by commas.",
    "new_tokens": "Tokens generated in each speed measurement.",
    "rounds": "Interleaved rounds of speed measurements.",
    "speed_budget": "Seconds of speed measurements for each method and round.",
    "text": "Text file to measure the distance from the baseline on.",
    "floor": "Measure the baseline a second time, which shows the noise.",
    "unsafe_no_sandbox": "Run the programs that the model writes without a sandbox.",
    "output_dir": "Results folder.",
    "config": "YAML file with these options; those of the command line win.",
    "output_format": "Files to write, separated by commas.",
    "dry_run": "Print the plan and measure nothing.",
}
# Where the settings leave a value open, or have none.
OPEN = {
    "model_option": "builtin",
    "methods": "those of fp16,int8,int4 that the model's engine runs",
    "baseline": "the first of fp16, bf16, fp32 among the methods",
    "tasks": "quickeval for builtin, none for random weights, else humaneval",
    "task_data": "the published data",
    "revision": "main",
    "limit": "all",
    "threads": "torch's own",
    "max_new_tokens": "the task's",
    "text": "the task's own texts",
    "output_dir": "results/MODEL",
    "config": "none",
    "output_format": "md,html,json,csv",
    "dry_run": "off",
}
RENAMED = {"speed_budget": "speed_budget_s"}


def describe(sentence: str, default: str) -> str:
    """The help of one option."""
    return f"{sentence} [default: {default}]"


def text_of(name: str) -> str:
    """The help of one option of `run`."""
    return describe(
        SENTENCES[name], OPEN[name] if name in OPEN else _shown(_DEFAULTS[RENAMED.get(name, name)])
    )


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


_DEFAULTS = {field.name: field.default for field in fields(RunSettings)}
