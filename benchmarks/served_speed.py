"""Whether the speed that quantbench measures of a server is the server's own, within 3 %.

    python benchmarks/served_speed.py model.gguf --engine llama.cpp --engine-python ../llama/bin/python
    python benchmarks/served_speed.py MODEL_FOLDER --engine vllm --engine-python ../vllm/bin/python

The server is started as a trial starts it and asked for forced lengths. Each repetition is timed at the
client and by the server itself (llama.cpp's `timings`, vLLM's histograms); what is compared is the median of
the ratios of single repetitions, so that a busy machine hits both sides. Ends with status 1 where they lie
further apart.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from quantbench.measure.served import server_meters
from quantbench.measure.speed import PointTimes, forced_requests, run_once, warm
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.engines import SERVED
from quantbench.serving.finding import find_engine
from quantbench.serving.http import Server
from quantbench.serving.identity import identify
from quantbench.serving.launching import Asked
from quantbench.serving.process import free_port, started, wait_ready
from quantbench.sources import open_source

MOST = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--engine", choices=SERVED, default="llama.cpp")
    parser.add_argument("--engine-python")
    parser.add_argument("--method", default="stored")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=8)
    asked = parser.parse_args()
    engine, source, port = SERVED[asked.engine], open_source(asked.model), free_port()
    settings = Asked(
        method=asked.method,
        device="cpu",
        threads=asked.threads,
        context=asked.prompt + asked.new + 16,
        slots=asked.batch,
        port=port,
    )
    launch = engine.launch(find_engine(asked.engine, asked.engine_python), source, settings)
    with started(engine.name, launch.command, Path("served_speed.log"), launch.environment) as process:
        server = Server(f"http://127.0.0.1:{port}", died=process.ended)
        wait_ready(process, server)
        found = identify(server, source, launch.served_name)
        model = ServedModel(
            name=found.name,
            vocab_size=int(source.config["vocab_size"]),
            max_positions=settings.context,
            slots=asked.batch,
        )
        decoder = ServedDecoder(server, engine.dialect, model, device="cpu")
        return compare(decoder, process.tree, asked)


def compare(decoder: ServedDecoder, tree: object, asked: argparse.Namespace) -> int:
    """Print each repetition's times; 1 where client and server lie further apart than MOST."""
    meters = server_meters(tree, asked.threads)  # type: ignore[arg-type]
    times = PointTimes()
    warm(decoder, forced_requests(decoder, asked.batch, asked.prompt, asked.new, 0))
    print("ms a token    client    server    ratio")
    for number in range(asked.repetitions):
        requests = forced_requests(decoder, asked.batch, asked.prompt, asked.new, number)
        run_once(decoder, requests, times, meters)
        one, other = times.decode_s[-1], times.server_decode_s[-1]
        steps = (asked.new - 1) / 1000
        print(f"{number:<10}{one / steps:>10.3f}{other / steps:>10.3f}{one / other:>9.4f}", flush=True)
    ratios = [one / other for one, other in zip(times.decode_s, times.server_decode_s, strict=True)]
    surplus = median(ratios) - 1
    print(f"median of the ratios: {1 + surplus:.4f}; at most {MOST:.0%} apart: {abs(surplus) <= MOST}")
    return 0 if abs(surplus) <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
