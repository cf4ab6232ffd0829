"""What HTTP costs: a server that answers at once, in a process of its own, asked by the same client.

Run as a script it is that server: as many events as are asked for, of the size of llama.cpp's, with no model
behind them. The time until the first event, and between events, is then that of client, sockets and server.
"""

import json
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKENS = 128
TURNS = 5


class Echo(BaseHTTPRequestHandler):
    """Answers each POST with `n_predict` events and their end."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each event goes out at once, as from real servers

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(1, asked["n_predict"] + 1):
            self._event({"content": " x", "tokens": [1], "stop": False, "tokens_predicted": number})
        self._event(
            {"content": "", "tokens": [], "stop": True, "stop_type": "limit", "tokens_predicted": number}
        )
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, event: dict[str, object]) -> None:
        line = (
            b"data: "
            + json.dumps({"index": 0, "id_slot": -1, "tokens_evaluated": 128, **event}).encode()
            + b"\n\n"
        )
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def log_message(self, *parts: object) -> None:
        """Say nothing."""


def measure_overhead(prompt_tokens: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(seconds to the first event, mean seconds between events) of TURNS answers, after one that warms up."""
    from quantbench.decoding import Request
    from quantbench.serving.decoder import ServedDecoder, ServedModel
    from quantbench.serving.dialects import LLAMA_CPP
    from quantbench.serving.http import Server

    command = [sys.executable, "-I", "-S", str(Path(__file__))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        model = ServedModel(name="echo", vocab_size=10, max_positions=1 << 20, slots=1)
        decoder = ServedDecoder(Server(f"http://127.0.0.1:{port}"), LLAMA_CPP, model, device="cpu")
        request = Request(prompt_ids=(1,) * prompt_tokens, max_new_tokens=TOKENS)
        firsts, gaps = [], []
        for _ in range(TURNS + 1):
            start = time.perf_counter()
            decoder.generate([request], batch_size=1)
            times = decoder.last[0].token_times
            firsts.append(times[0] - start)
            gaps.append((times[-1] - times[0]) / (TOKENS - 1))
        return tuple(firsts[1:]), tuple(gaps[1:])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until killed; the port goes to stdout."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
