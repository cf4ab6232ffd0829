"""The model card (README.md) of an exported model: what it is, how it was made, what was measured.

Figures stand in it only where a results folder has them for the same model, revision and method; nothing is
estimated. The front matter is that of the Hugging Face hub, figures as its model-index.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from quantbench.analysis import Analysis, Row
from quantbench.analysis.formatting import MISSING
from quantbench.errors import UsageError
from quantbench.methods import METHODS
from quantbench.sources import ModelSource, is_hub_id
from quantbench.units import show_bytes
from quantbench.version import __version__

DATASETS = {  # task -> what the hub calls its problems
    "humaneval": "openai/openai_humaneval",
    "humaneval+": "evalplus/humanevalplus",
    "mbpp+": "evalplus/mbppplus",
    "gsm8k": "openai/gsm8k",
}
BOUNDARY = "---"
KEPT = ("license", "license_name", "license_link", "language")  # of the original's front matter
USE = {
    "gguf": "llama.cpp: `llama-cli -m {file}`; quantbench: `quantbench run {file}`.",
    "compressed-tensors": "transformers (with compressed-tensors installed; version 5.23 reads zero "
    "points with `CompressedTensorsConfig(dequantize=True)` alone), vLLM, `quantbench run FOLDER`.",
    "gptq": "transformers (with gptqmodel installed), vLLM (symmetric ones alone), `quantbench run FOLDER`.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was exported."""

    source: ModelSource
    method: str
    format: str
    name: str  # of the exported model
    file: str  # the GGUF file's name; '' for a folder
    device: str  # that made the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The figures of a method and of its baseline, from one results folder."""

    analysis: Analysis
    row: Row


def find_measured(analysis: Analysis, made: Made, folder: Path) -> Measured:
    """The row of the same model, revision and method; UsageError where the folder has none with figures."""
    for row in analysis.results.rows:
        trial, source = row.record.trial, made.source
        same = trial.revision == source.revision and (source.revision or trial.model == source.name)
        if same and trial.method == made.method and row.measured:
            return Measured(analysis=analysis, row=row)
    raise UsageError(
        f"'{folder}' has no figures of '{made.source.name}' at its revision {made.source.revision} under "
        f"{made.method}; measure it with `quantbench run`, or leave --results out"
    )


def card(made: Made, measured: Measured | None) -> str:
    """The whole file."""
    facts = yaml.safe_dump(front_matter(made, measured), sort_keys=False, allow_unicode=True)
    parts = [f"{BOUNDARY}\n{facts}{BOUNDARY}\n", f"# {made.name}\n", about(made)]
    if measured is not None:
        parts.append(figures(measured, made))
    return "\n".join(parts)


def front_matter(made: Made, measured: Measured | None) -> dict[str, Any]:
    """What the hub reads."""
    found: dict[str, Any] = original_facts(made.source)
    if is_hub_id(made.source.name):
        found |= {"base_model": made.source.name.partition(":")[0], "base_model_relation": "quantized"}
    if made.format != "gguf":
        found["library_name"] = "transformers"
    found |= {"pipeline_tag": "text-generation", "tags": [made.format, "quantbench"]}
    results = [result_of(score) for score in measured.row.scores] if measured else []
    if results:
        found["model-index"] = [{"name": made.name, "results": results}]
    return found


def original_facts(source: ModelSource) -> dict[str, Any]:
    """Licence and languages as the original's own card has them."""
    path = source.folder / "README.md" if source.folder else None
    try:
        text = path.read_text(encoding="utf-8") if path and path.is_file() else ""
        facts = yaml.safe_load(text.split(BOUNDARY)[1]) if text.startswith(BOUNDARY) else {}
    except (OSError, ValueError, IndexError, yaml.YAMLError):
        return {}
    return {key: facts[key] for key in KEPT if key in facts} if isinstance(facts, dict) else {}


def result_of(score: Any) -> dict[str, Any]:
    """One task's score as an entry of a model-index."""
    dataset = {"type": DATASETS.get(score.task, score.task), "name": score.title}
    metric = {"type": "pass@1", "name": "pass@1", "value": round(score.pass_at_1, 4), "verified": False}
    return {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": [metric]}


def about(made: Made) -> str:
    """What the weights are and what reads them."""
    source, method = made.source, METHODS[made.method]
    revision = f" ({source.revision})" if source.revision else ""
    note = f" {source.note[0].upper()}{source.note[1:]}.\n" if source.note else "\n"
    return (
        f"{source.name}{revision} under quantbench's method `{made.method}`: {method.description}.{note}\n"
        f"Written as {made.format} by quantbench {__version__}; the weights were made on {made.device}. "
        "Every packed matrix has exactly the values that the method gives it: nothing was rounded on the way "
        f"into this format.\n\nTo be read by {USE[made.format].format(file=made.file)}\n"
    )


def figures(measured: Measured, made: Made) -> str:
    """The method's figures beside the baseline's, and what they are figures of."""
    row, results = measured.row, measured.analysis.results
    rows = [results.baseline, row] if results.baseline and results.baseline is not row else [row]
    header = ["", *(shown.label for shown in rows)]
    lines = [header, ["---"] * len(header)]
    lines += [[name, *(read(shown) for shown in rows)] for name, read in lines_of(measured)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    environment, engine = row.record.environment, row.record.trial.load.engine.shown
    machine = environment.gpu or f"{environment.cpu}, {environment.cores} cores"
    return (
        f"## Measured\n\n{table}\n\n"
        f"Measured by quantbench {row.record.quantbench_version} on {machine} "
        f"({row.record.trial.load.device}), {row.record.created_at[:10]}: {row.label} as the method runs in "
        f"the engine {engine}, before it was written as {made.format}. Speed and memory are those "
        "of that engine and machine; others have others. Intervals are 95 % (Wilson, over problems).\n"
    )


def lines_of(measured: Measured) -> list[tuple[str, Any]]:
    """The table's lines: a name, and what reads a row's figure."""
    distances = {distance.label: distance for distance in measured.analysis.distances}

    def divergence(row: Row) -> str:
        found = distances.get(row.label)
        return f"{found.mean_kl.value:.3g}" if found and found.mean_kl else MISSING

    lines: list[tuple[str, Any]] = [
        ("Weights", lambda row: MISSING if row.weight_bytes is None else show_bytes(row.weight_bytes)),
        ("Decoding, tokens/s", decode_rate),
        ("Memory", lambda row: MISSING if row.memory_bytes is None else show_bytes(row.memory_bytes)),
    ]
    for score in measured.row.scores:
        way = f"{score.title}, pass@1 ({score.result.protocol})"
        lines.append((way, lambda row, task=score.task: score_text(row, task)))
    if any(distance.mean_kl for distance in distances.values()):
        lines.append(("Mean KL divergence from the baseline, nats a token", divergence))
    return lines


def decode_rate(row: Row) -> str:
    """Tokens/s of the headline; a dash where it was not measured or disturbed."""
    return f"{row.speed.decode.value:.1f}" if row.speed and row.speed.decode else MISSING


def score_text(row: Row, task: str) -> str:
    """`0.800 (16/20) [0.58, 0.92]`."""
    score = row.score(task)
    if score is None:
        return MISSING
    interval = f"[{score.interval.low:.3f}, {score.interval.high:.3f}]"
    return f"{score.pass_at_1:.3f} ({score.passed}/{score.total}) {interval}"
