"""Our load test beside `vllm bench serve`, on one server, in turns: same rate, lengths, arrivals and seeds.

    python benchmarks/served_load.py MODEL_FOLDER --engine-python ../vllm/bin/python --rate 4 --requests 64

vLLM's server is started as a trial starts it. A round is one load test by each client, in changing order; its
seed gives both the same moments of arrival (the largest distance is printed). Prompts are random tokens of
the asked length, which vLLM's client sends as text. Printed are both clients' figures, their ratio in each
round, its median and its range. Ends with status 1 where a figure's median ratio is further than 3 % from 1
and all rounds lie on that side.
"""

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from quantbench.decoding import Request, TimedAnswer
from quantbench.measure.arrivals import arrival_times, timed_answers
from quantbench.measure.speed import Meters, forced_requests
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.engines import SERVED
from quantbench.serving.finding import find_engine
from quantbench.serving.http import Server
from quantbench.serving.identity import identify
from quantbench.serving.launching import Asked
from quantbench.serving.process import free_port, started, wait_ready
from quantbench.sources import ModelSource, open_source
from quantbench.stats import percentile

MOST = 0.03
CLIENT = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
FIGURES = ("requests/s", "tokens/s", "TTFT p50", "TTFT p99", "TPOT p50", "TPOT p99")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--engine-python", required=True)
    parser.add_argument("--method", default="fp16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is ended, too
    source, port = open_source(asked.model), free_port()
    found = find_engine("vllm", asked.engine_python)
    settings = Asked(
        method=asked.method,
        device="cpu",
        threads=asked.threads,
        context=asked.prompt + asked.new + 16,
        slots=asked.slots,
        port=port,
    )
    launch = SERVED["vllm"].launch(found, source, settings)
    with started("vllm", launch.command, Path("served_load.log"), launch.environment) as process:
        server = Server(f"http://127.0.0.1:{port}", died=process.ended)
        wait_ready(process, server)
        return compare(decoder_of(server, source, settings), source, asked, found.path, server.url)


def decoder_of(server: Server, source: ModelSource, settings: Asked) -> ServedDecoder:
    """Our client of the server."""
    found = identify(server, source, source.name)
    model = ServedModel(
        name=found.name,
        vocab_size=int(source.config["vocab_size"]),
        max_positions=settings.context,
        slots=settings.slots,
    )
    return ServedDecoder(server, found.dialect, model, device="cpu")


def compare(
    decoder: ServedDecoder, source: ModelSource, asked: argparse.Namespace, python: str, url: str
) -> int:
    """All rounds, a line for each client and their ratio; 1 where a figure differs."""
    ours(decoder, asked, asked.seed + 1000)
    print(f"{'':14}" + "".join(f"{name:>12}" for name in FIGURES))
    ratios: list[list[float]] = []
    for number in range(asked.rounds):
        seed = asked.seed + number
        runs = {
            "quantbench": lambda seed=seed: ours(decoder, asked, seed),
            "vllm bench": lambda seed=seed: theirs(source, asked, python, url, seed),
        }
        turn = list(runs) if number % 2 == 0 else list(runs)[::-1]
        found = {name: runs[name]() for name in turn}
        one, other = found["quantbench"], found["vllm bench"]
        for name in runs:
            print(f"{name:14}" + "".join(f"{figures_of(found[name])[key]:>12.4g}" for key in FIGURES))
        apart = max(abs(a - b) for a, b in zip(offsets(one), offsets(other), strict=True))
        ratios.append([figures_of(one)[key] / figures_of(other)[key] for key in FIGURES])
        line = "".join(f"{ratio:>12.4f}" for ratio in ratios[-1])
        print(f"{'ratio':14}{line}   arrivals at most {1000 * apart:.1f} ms apart", flush=True)
    return verdict(ratios)


def ours(decoder: ServedDecoder, asked: argparse.Namespace, seed: int) -> Mapping[str, Sequence[float]]:
    """One load test by quantbench's client: the raw times of all requests, seconds."""
    requests: list[Request] = forced_requests(decoder, asked.requests, asked.prompt, asked.new, seed)
    found = timed_answers(decoder, requests, arrival_times(asked.rate, asked.requests, seed), Meters())
    failed = [answer.failure for answer in found.answers if answer.failure]
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {failed[0]}")
    answers: list[TimedAnswer] = found.answers
    return {
        "sent": [answer.sent_s for answer in answers],
        "ttft": [answer.first_s - answer.sent_s for answer in answers],
        "tpot": [(answer.last_s - answer.first_s) / (asked.new - 1) for answer in answers],
        "tokens": [asked.new] * len(answers),
        "duration": [found.duration_s],
    }


def theirs(
    source: ModelSource, asked: argparse.Namespace, python: str, url: str, seed: int
) -> Mapping[str, Sequence[float]]:
    """One load test by `vllm bench serve`: the same from its detailed result."""
    with TemporaryDirectory() as folder:
        options = {
            "backend": "vllm",
            "base-url": url,
            "model": str(source.folder),
            "served-model-name": source.name,
            "dataset-name": "random",
            "random-input-len": asked.prompt,
            "random-output-len": asked.new,
            "num-prompts": asked.requests,
            "request-rate": asked.rate,
            "seed": seed,
            "temperature": 0,
            "result-dir": folder,
            "result-filename": "result.json",
        }
        flags = ["--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        ran = subprocess.run(
            [python, "-c", CLIENT, *given, *flags], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise SystemExit(f"vllm bench serve failed: {ran.stderr[-2000:]}")
        result = json.loads((Path(folder) / "result.json").read_text())
    tokens = result["output_lens"]
    rests = [total - first for total, first in zip(result["latencies"], result["ttfts"], strict=True)]
    times = {
        "sent": result["start_times"],
        "ttft": result["ttfts"],
        "tpot": [rest / (count - 1) for rest, count in zip(rests, tokens, strict=True)],
        "tokens": tokens,
        "duration": [result["duration"]],
    }
    check_definitions(figures_of(times), result)
    return times


def check_definitions(own: Mapping[str, float], result: Mapping[str, float]) -> None:
    """Our definitions over vLLM's raw times must give vLLM's own figures."""
    told = {
        "requests/s": result["request_throughput"],
        "tokens/s": result["output_throughput"],
        "TTFT p50": result["median_ttft_ms"],
        "TTFT p99": result["p99_ttft_ms"],
        "TPOT p50": result["median_tpot_ms"],
        "TPOT p99": result["p99_tpot_ms"],
    }
    for name, value in told.items():
        if abs(own[name] - value) > 1e-6 * value:
            raise SystemExit(f"{name} is {own[name]} by our definition and {value} by vLLM's")


def figures_of(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """FIGURES of one load test; times in ms."""
    duration = times["duration"][0]
    return {
        "requests/s": len(times["ttft"]) / duration,
        "tokens/s": sum(times["tokens"]) / duration,
        "TTFT p50": 1000 * percentile(times["ttft"], 0.5),
        "TTFT p99": 1000 * percentile(times["ttft"], 0.99),
        "TPOT p50": 1000 * percentile(times["tpot"], 0.5),
        "TPOT p99": 1000 * percentile(times["tpot"], 0.99),
    }


def offsets(times: Mapping[str, Sequence[float]]) -> list[float]:
    """When requests were sent, from the first one on."""
    return [sent - times["sent"][0] for sent in times["sent"]]


def verdict(ratios: Sequence[Sequence[float]]) -> int:
    """Print the medians and ranges of the rounds' ratios; 1 where a figure differs."""
    differing = []
    for name, values in zip(FIGURES, zip(*ratios, strict=True), strict=True):
        middle, low, high = median(values), min(values), max(values)
        print(f"{name}: median ratio {middle:.4f}, {low:.4f} to {high:.4f} in {len(values)} rounds")
        if abs(middle - 1) > MOST and not low <= 1 <= high:
            differing.append(name)
    print(f"differ by more than {MOST:.0%}, in all rounds alike: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
