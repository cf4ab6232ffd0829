"""Task files of lm-eval with data of their own: every kind of request, no network."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHOICE = "qb_choice"
LETTERS = "qb_letters"
ROLLING = "qb_rolling"
GENERATION = "qb_generation"
LAMBADA = "qb_last_word"
GROUP = "qb_group"

QUESTIONS = [
    {
        "question": f"What comes after {n}?",
        "choices": [str(n + 1), "nothing at all", f"{n}{n}"],
        "answer": n % 3,
    }
    for n in range(8)
]
TEXTS = [
    {"text": "def add(a: int, b: int) -> int:\n    return a + b\n"},
    {"text": "for value in values:\n    print(value)\n" * 9},
    {"text": "x"},
    *({"text": f"def f{n}(x):\n    return x * {n}\n\n\nprint(f{n}(2))\n"} for n in range(4)),
]


def write_tasks(folder: Path) -> Path:
    """All task files and their data."""
    folder.mkdir(parents=True, exist_ok=True)
    choice = {
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [mean("acc"), mean("acc_norm")],
    }
    write_task(folder, CHOICE, QUESTIONS, **choice)
    letters = choice | {"doc_to_choice": ["A", "B", "C"], "metric_list": [mean("acc")]}
    write_task(folder, LETTERS, QUESTIONS, **letters)
    names = ("word_perplexity", "byte_perplexity", "bits_per_byte")
    rolling = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": name} for name in names],
    }
    write_task(folder, ROLLING, TEXTS, **rolling)
    generation = {
        "output_type": "generate_until",
        "doc_to_text": "def f{{answer}}(x: int) -> int:\n",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\ndef", "return"], "max_gen_toks": 16, "do_sample": False},
        "metric_list": [mean("exact_match")],
    }
    write_task(folder, GENERATION, QUESTIONS, **generation)
    last = {
        "output_type": "loglikelihood",
        "doc_to_text": "{{question}} It is",
        "doc_to_target": " {{choices[0]}}",
        "metric_list": [
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
            mean("acc"),
        ],
    }
    write_task(folder, LAMBADA, QUESTIONS, **last)
    group = {
        "group": GROUP,
        "task": [CHOICE, LETTERS],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 1.0},
    }
    (folder / f"{GROUP}.yaml").write_text(json.dumps(group))
    return folder


def mean(metric: str) -> dict[str, Any]:
    """A metric that is averaged, more being better."""
    return {"metric": metric, "aggregation": "mean", "higher_is_better": True}


def write_task(folder: Path, name: str, rows: Sequence[dict[str, Any]], **config: Any) -> None:
    """One task over these rows; YAML reads JSON."""
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "num_fewshot": 0,
        "metadata": {"version": 1.0},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(common | config))
