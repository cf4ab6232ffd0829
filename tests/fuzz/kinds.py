"""A function for each file and set of options that a user gives: writes a damaged one, returns a command."""

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from quantbench.commands import COMMANDS
from quantbench.settings.base import places_of
from quantbench.settings.option import facts_of, flag
from tests.decoders import byte_level
from tests.fuzz.mutations import HOSTILE, TEXTS, damage_bytes, damage_document, damaged_json, dumped
from tests.model_folders import tiny_config, write_folder, write_sharded_folder
from tests.report_records import reference_records

Kind = Callable[[Random, Path], list[str]]
DRY = ["--dry-run", "--device", "cpu"]
TASK = ["--tasks", "quickeval", "--unsafe-no-sandbox"]
PROBLEM = {
    "task_id": "T/0",
    "prompt": 'def double(x):\n    """Twice x."""\n',
    "canonical_solution": "    return x + x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "double",
}
PLUS = PROBLEM | {"base_input": [[1]], "plus_input": [[2], [3]], "atol": 0}
SAMPLE = {"task_id": "T/0", "completion": "    return 2 * x\n"}
CONFIG = {
    "model": "builtin",
    "methods": ["fp16", "int8"],
    "tasks": "none",
    "seed": 1,
    "batch-sizes": "1,2",
    "prompt_tokens": [8, 16],
    "rounds": 2,
    "speed_budget": 1.5,
    "format": "md",
    "output_dir": "out",
}


def option_values(draw: Random, command: str) -> list[str]:
    """Some of a command's options with hostile values."""
    fields = {name: place.field for name, place in places_of(COMMANDS[command].settings).items()}
    names = [name for name, field in fields.items() if not facts_of(field).argument]
    if not names:
        return []
    arguments: list[str] = []
    for name in draw.sample(names, draw.randint(1, min(4, len(names)))):
        if name == "dry_run":
            continue
        spelled = flag(name, fields[name])
        arguments += [spelled] if draw.random() < 0.1 else [f"{spelled}={option_value(draw)}"]
    return arguments


def option_value(draw: Random) -> str:
    """What stands behind an option: a word that may be right, a number, or rubbish."""
    words = (
        "fp16",
        "int8,int4",
        "1,8",
        "quickeval",
        "cpu",
        "native",
        "3",
        "0.5",
        "2GB",
        "200ms",
        "none",
        "auto",
    )
    numbers = (
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "9" * 30,
        "0x10",
        "1_000",
        "1,2,,3",
        "٣",
        "1.5.2",
        "1 GB",
        "½",
    )
    return draw.choice((*words, *words, *numbers, *(text[:1000] for text in TEXTS if "\ud800" not in text)))


def run_options(draw: Random, folder: Path) -> list[str]:
    model = draw.choice(["builtin", "random:smollm2-135m", *TEXTS[:-3]])
    model = model if "\ud800" not in model else "x"
    return ["run", model, *DRY, *option_values(draw, "run")]


def other_options(draw: Random, folder: Path) -> list[str]:
    write_records(folder, [dumped(json.loads(r.model_dump_json())) for r in reference_records()])
    (folder / "samples.jsonl").write_bytes(dumped(SAMPLE))
    (folder / "problems.jsonl").write_bytes(dumped(PROBLEM))
    command = draw.choice(["recommend", "compare", "score", "report", "methods"])
    files = {
        "recommend": ["."],
        "report": [".", "--format", "json"],
        "compare": [".", "."],
        "score": ["samples.jsonl", "--task-data", "problems.jsonl"],
        "methods": [],
    }
    return [command, *files[command], *option_values(draw, command)]


def config_file(draw: Random, folder: Path) -> list[str]:
    document = damage_document(draw, CONFIG)
    raw = yaml.safe_dump(document, allow_unicode=True).encode(errors="surrogatepass")
    if draw.random() < 0.4:
        raw = damage_bytes(draw, raw)
    if draw.random() < 0.1:
        raw = b"a0: &a0 [x, x]\n" + b"".join(
            b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 30)
        )
    (folder / "config.yaml").write_bytes(raw)
    return ["run", *DRY, "--config", "config.yaml"]


def model_config(draw: Random, folder: Path) -> list[str]:
    family = draw.choice(["qwen2", "llama", "mistral", "qwen3", "gpt2", "mamba"])
    rope = {"rope_type": draw.choice(["default", "linear", "llama3", "yarn"]), "factor": 2.0}
    config = tiny_config(model_type=family, rope_scaling=draw.choice([None, rope]), head_dim=32)
    if draw.random() < 0.5:
        config |= {"sliding_window": 16, "use_sliding_window": True, "layer_types": ["full_attention"]}
    write_folder(folder / "m", config=tiny_config())
    (folder / "m" / "config.json").write_bytes(damaged_json(draw, config))
    return ["run", "./m", *DRY, "--tasks", "none", "--methods", "fp16"]


def tokenizer_files(draw: Random, folder: Path) -> list[str]:
    tokenizer = json.loads(byte_level().to_str())
    write_folder(folder / "m")
    (folder / "m" / "tokenizer.json").write_bytes(dumped(tokenizer))
    name, document = draw.choice(
        [
            ("tokenizer.json", tokenizer),
            ("generation_config.json", {"eos_token_id": [0, 1]}),
            ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "x"}),
            ("special_tokens_map.json", {"eos_token": "x"}),
            ("added_tokens.json", {"x": 100}),
        ]
    )
    (folder / "m" / name).write_bytes(damaged_json(draw, document))
    return ["run", "./m", *DRY, *TASK, "--methods", "fp16"]


def weight_header(draw: Random, folder: Path) -> list[str]:
    write_folder(folder / "m")
    path = folder / "m" / "model.safetensors"
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = damaged_json(draw, json.loads(raw[8 : 8 + length]))
    size = draw.choice([len(header), len(header), len(header), length, 2**40, 2**63, 0])
    path.write_bytes(struct.pack("<Q", size) + header + raw[8 + length :])
    return ["run", "./m", *DRY, "--tasks", "none", "--methods", "fp16"]


def weight_index(draw: Random, folder: Path) -> list[str]:
    write_sharded_folder(folder / "m")
    path = folder / "m" / "model.safetensors.index.json"
    path.write_bytes(damaged_json(draw, json.loads(path.read_bytes())))
    return ["run", "./m", *DRY, "--tasks", "none", "--methods", "fp16"]


def write_records(folder: Path, lines: list[bytes]) -> None:
    (folder / "records.jsonl").write_bytes(b"\n".join(lines))


def records(draw: Random, folder: Path) -> list[str]:
    documents: list[Any] = [json.loads(record.model_dump_json()) for record in reference_records()]
    for document in documents:
        for task in document["tasks"]:
            task["completions"] = task["completions"][::8]
            task["problems"] = len(task["completions"])
        kl = {"kl": [0.1, 0.2], "confidence": [0.5, 0.6]} if document["trial"]["method"] != "fp16" else {}
        problem = {"tokens": 2, "nll": 3.0, "baseline_nll": 2.9, "same_top": 1, **kl}
        problems = [{"task_id": f"T/{number}", **problem} for number in range(9)]
        document["distance"] = {"text": "t", "top_k": 8, "problems": problems}
        document["trial"] |= {"reference": None if not kl else documents[0]["trial_id"]}
    damaged = draw.randrange(len(documents))
    lines = [dumped(document) for document in documents]
    lines[damaged] = damaged_json(draw, documents[damaged])
    write_records(folder, lines)
    if draw.random() < 0.3:
        ids = [document["trial_id"] for document in documents]
        (folder / "plan.json").write_bytes(damaged_json(draw, {"baseline": "fp16", "trials": ids}))
    commands = [["report", ".", "--format", "json,csv"], ["recommend", "."], ["compare", ".", "."]]
    if draw.random() < 0.1:
        commands = [["report", ".", "--format", "md,html"]]
    return draw.choice(commands)


def problems(draw: Random, folder: Path) -> list[str]:
    plus = draw.random() < 0.3
    raw = damaged_json(draw, PLUS if plus else PROBLEM)
    name = draw.choice(["p.jsonl", "p.jsonl", "p.jsonl.gz", "p.parquet"])
    (folder / name).write_bytes(container(draw, name, raw))
    (folder / "samples.jsonl").write_bytes(dumped(SAMPLE))
    if plus:
        return ["score", "samples.jsonl", "--task-data", name, "--unsafe-no-sandbox"]
    return ["run", "builtin", *DRY, *TASK, "--task-data", name, "--methods", "fp16"]


def container(draw: Random, name: str, raw: bytes) -> bytes:
    """Bytes as a file of this name has them, its own damage included."""
    if name.endswith(".gz"):
        raw = gzip.compress(raw)
        return damage_bytes(draw, raw) if draw.random() < 0.7 else raw
    if name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({key: [value] for key, value in PROBLEM.items()}), file)
        return damage_bytes(draw, file.getvalue())
    return raw


def samples(draw: Random, folder: Path) -> list[str]:
    name = draw.choice(["s.jsonl", "s.jsonl.gz"])
    lines = [dumped(SAMPLE), damaged_json(draw, SAMPLE), dumped(SAMPLE)]
    (folder / name).write_bytes(container(draw, name, b"\n".join(lines)))
    (folder / "problems.jsonl").write_bytes(dumped(PROBLEM))
    return ["score", name, "--task-data", "problems.jsonl", "--unsafe-no-sandbox"]


def text_file(draw: Random, folder: Path) -> list[str]:
    (folder / "t.txt").write_bytes(damage_bytes(draw, b"def f(x):\n    return x\n" * 20))
    return ["run", "builtin", *DRY, "--tasks", "none", "--text", "t.txt", "--methods", "fp16"]


def predictions(draw: Random, folder: Path) -> list[str]:
    """Not a command's file: the baseline's predictions, read by every other trial."""
    buffer = io.BytesIO()
    arrays = {"digest": np.array("d"), "ids": np.zeros((2, 1), dtype=np.uint16), "nll": np.ones(2)}
    arrays |= {"steps": np.zeros((2, 1), dtype=np.uint16), "log_rest": np.zeros(2)}
    arrays[draw.choice(list(arrays))] = np.array(draw.choice([1, "x", [[1.0]], [], [float("nan")] * 2]))
    np.savez(buffer, **arrays)
    (folder / "reference.npz").write_bytes(damage_bytes(draw, buffer.getvalue()))
    return []


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        run_options,
        other_options,
        config_file,
        model_config,
        tokenizer_files,
        weight_header,
        weight_index,
        records,
        problems,
        samples,
        text_file,
        predictions,
    )
}
assert HOSTILE
