"""Is a trial as fast beside another one, on another GPU of the same host, as alone?

    python benchmarks/side_by_side.py [--seconds 240]

Runs one plan, 2 models x 3 methods, side by side on two GPUs, then one after another on one, and prints the
decode speed of every trial both ways with the ratio, the scatter of repetitions and the wall times. What the
time allows of the second run is compared; on two H100 it takes some 4 minutes for both.
"""

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quantbench.store import Store, has_records

MODELS = ("random:qwen2.5-0.5b", "random:qwen3-0.6b")
OPTIONS = "--methods fp16,int8,int4 --own-baselines --tasks none --no-floor --speed-budget 1.5 --format json"


def run(folder: Path, seconds: float, *where: str) -> float:
    """One run, asked to end when its time is over; the seconds that it took."""
    began = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "quantbench",
        "run",
        *MODELS,
        *OPTIONS.split(),
        *where,
        "-o",
        str(folder),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
    return time.monotonic() - began


def speeds(folder: Path) -> dict[str, tuple[float, float, str]]:
    """Each trial's first point: median tokens a second, relative scatter of repetitions, where it ran."""
    found = {}
    if not has_records(folder):
        return found
    for record in Store(folder).read()[0]:
        if record.speed and record.speed[0].decode_s:
            point = record.speed[0]
            rates = [(point.new_tokens - 1) / taken for taken in point.decode_s]
            scatter = (max(rates) - min(rates)) / statistics.median(rates)
            where = str(record.environment.extra.get("side_by_side_on", "alone"))
            found[f"{record.trial.model} {record.trial.label}"] = statistics.median(rates), scatter, where
    return found


def main() -> None:
    """Both runs and their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0)
    left = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        beside, alone = Path(folder, "beside"), Path(folder, "alone")
        took = run(beside, left, "--devices", "cuda:0,cuda:1")
        print(f"side by side: {took:.1f} s, {len(speeds(beside))} trials")
        one = speeds(beside)
        for name, (rate, scatter, where) in one.items():
            print(f"{name:45} {rate:8.1f} tokens/s on {where}, repetitions within {scatter:.4f}")
        took = run(alone, max(0.0, left - took), "--device", "cuda:0")
        other = speeds(alone)
        print(f"one after another: {took:.1f} s, {len(other)} trials")
        for name in one.keys() & other.keys():
            print(f"{name:45} {one[name][0] / other[name][0]:.4f} of {other[name][0]:.1f} alone")


if __name__ == "__main__":
    main()
