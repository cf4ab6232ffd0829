"""llama.cpp's server inside a Python process, by the package xllamacpp of that Python's environment.

A script for another environment: it imports nothing of this package. `argv` holds settings as JSON; the
address goes to stdout.
"""

import json
import signal
import sys


def main() -> None:
    """Serve until killed."""
    import xllamacpp

    asked = json.loads(sys.argv[1])
    p = xllamacpp.CommonParams()
    p.model.path = asked["file"]
    p.n_parallel, p.n_ctx = asked["slots"], asked["slots"] * asked["context"]
    if asked["threads"]:
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = asked["threads"]
    p.n_gpu_layers = asked["gpu_layers"]
    p.hostnames, p.port = ["127.0.0.1"], asked["port"]
    p.endpoint_metrics = p.endpoint_props = p.endpoint_slots = True
    p.ui = False
    server = xllamacpp.Server(p)
    print("ready", server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
