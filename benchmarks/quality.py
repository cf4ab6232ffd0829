"""The laboratory of quantization: what methods lose on a real model, on texts that calibration never saw.

    python benchmarks/quality.py MODEL
    python benchmarks/quality.py MODEL --methods int8-head16,int4-head16,search-g128 --blur --json table.json

A line a method against the stored weights in float32: bits of the matrices of the layers, KL(baseline ||
method) in nats over the whole vocabulary (of the half of the windows that choices are made by, then of the
other half with its 95 % interval over windows, which is what counts), the 99th percentile over tokens, how
often the best token is the same, perplexity and its ratio to the baseline's, KL by kind of text and by how
sure the baseline is, seconds of quantizing with calibration, peak memory of loading.

--blur gives a model that was dequantized from a file of few bits its values between that file's lattice
back; see quality_blur. --methods takes the product's methods by their own names, those of quality_methods,
mixed with any budget (mixed-head16@4.53), and any with another number of tokens to calibrate on (int4~2048).
--json keeps the KL of every window, too, from which quality_pairs compares two rows. The baseline's logits
are held: tokens x vocabulary x 4 bytes.
"""

import argparse
import gc
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from quality_blur import Blurred
from quality_figures import Table, compare, row_of
from quality_methods import named
from quality_texts import Window, cut_windows, digest, read_texts
from quantbench.decoding import Decoder
from quantbench.measure import MemoryMeter
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import Engine, KvName
from quantbench.sources import ModelSource, is_quantized, load_tokenizer, open_source

DEFAULT = (
    "int8-head16,int8-g128-head16,int8-g32-head16,rtn-g128,rtn-g64,rtn-g32,nf4-g64,q4_0,q4_k-like,"
    "int4-nocal-head16,int4-head16,int4-gptq-head16,int4-hq-nocal-head16,int4-hq-head16,int4-hq-gptq-head16,"
    "mixed-head16,mixed-5-head16,mixed-gptq-head16,mixed-5-gptq-head16,int4,int4-head8,int4-hq-head8,int4-gptq"
)


def main() -> None:
    """Measure and print."""
    arguments = parse()
    stored = open_source(arguments.model)
    if arguments.blur and is_quantized(stored):
        raise SystemExit("--blur takes a model of floats: dequantize this one into a folder first")
    source: ModelSource = Blurred(stored) if arguments.blur else stored
    tokenizer = load_tokenizer(stored)
    if tokenizer is None:
        raise SystemExit(f"'{arguments.model}' has no tokenizer; give a model that can read text")
    texts = read_texts(arguments.text)
    windows = cut_windows(texts, tokenizer, tokens=arguments.tokens, window=arguments.window)
    settings = LoadSettings(
        device=arguments.device,
        dtype="float32",
        engine=Engine.NATIVE,
        threads=arguments.threads,
        exact_prompts=True,
        calibration=arguments.calibration,
    )
    tokens = sum(len(w.token_ids) - 1 for w in windows)
    facts = {
        "model": arguments.model,
        "blur": arguments.blur,
        "predictions": tokens,
        "texts": digest(windows),
    }
    print(json.dumps(facts), flush=True)
    baseline = score(METHODS["fp32"].load(source, settings).decoder, windows)
    table = Table()
    for name, kv in product(arguments.methods.split(","), arguments.kv.split(",")):
        held = settings.changed(kv=KvName(kv).kv)
        label = name if kv == KvName.NONE else f"{name} kv-{kv}"
        table.add({"method": label, **measure(name, source, held, windows, baseline)})
        if arguments.json:
            arguments.json.write_text(json.dumps(facts | {"rows": table.rows}, indent=1))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--methods", default=DEFAULT)
    parser.add_argument("--kv", default="none", help="formats of the KV cache: none,int8,fp8")
    parser.add_argument("--text", action="append", default=[], metavar="KIND=FILE")
    parser.add_argument("--tokens", type=int, default=5120, help="predictions of both halves together")
    parser.add_argument("--window", type=int, default=257)
    parser.add_argument("--blur", action="store_true")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--calibration", help="text file in place of those that ship")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def score(decoder: Decoder, windows: tuple[Window, ...]) -> list[torch.Tensor]:
    """Logits of every window, on the decoder's device."""
    return [logits.clone() for logits in predictions(decoder, windows)]


def predictions(decoder: Decoder, windows: tuple[Window, ...]) -> Iterator[torch.Tensor]:
    """Logits of one window after another: all of it as a prompt, with all bits."""
    return decoder.score([w.token_ids for w in windows], [len(w.token_ids) for w in windows])


def measure(
    name: str,
    source: ModelSource,
    settings: LoadSettings,
    windows: tuple[Window, ...],
    baseline: list[torch.Tensor],
) -> dict[str, Any]:
    """One method's row."""
    method, bits = named(name)
    gc.collect()
    if settings.device.startswith("cuda"):
        torch.cuda.empty_cache()
    held = torch.cuda.memory_allocated() if settings.device.startswith("cuda") else 0
    meter = MemoryMeter(settings.device)
    loaded = method.load(source, settings)
    for sentence in loaded.warnings:
        print(f"{name}: {sentence}", flush=True)
    meter.loaded()
    memory = meter.finish()
    before = held if memory.kind == "cuda" else memory.baseline_process_bytes or 0
    scores = predictions(loaded.decoder, windows)
    scored = [compare(w, b, logits) for w, b, logits in zip(windows, baseline, scores, strict=True)]
    return {
        "bits": bits or layer_bits(loaded.decoder),
        "GB": sum(t.nbytes for _, t in loaded.decoder.resident_tensors()) / 1e9,
        "quant s": loaded.startup.quantize_s,
        "peak GB": ((memory.load_peak_bytes or 0) - before) / 1e9,
        **row_of(scored),
    }


def layer_bits(decoder: Decoder) -> float:
    """Stored bits a weight of the layers' matrices, scales and zeros included."""
    sizes = (t.nbytes for n, t in decoder.resident_tensors() if ".layers." in n and not n.endswith(":bias"))
    counts = (count for name, (_, count) in decoder.schemes().items() if ".layers." in name)
    return 8 * sum(sizes) / sum(counts)


if __name__ == "__main__":
    main()
