"""A server in a thread that answers as llama.cpp, vLLM or any other does, and fails when told to.

The token after a sequence is the sum of its tokens and their number, modulo the vocabulary: every answer is
known.
"""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log
from typing import Any

VOCABULARY = 64
END = 7  # the token that ends an answer unless it is forced


def continued(prompt: Sequence[int], new: int) -> list[int]:
    """The `new` tokens that follow a prompt."""
    ids = list(prompt)
    for _ in range(new):
        ids.append((sum(ids) + len(ids)) % VOCABULARY)
    return ids[len(prompt) :]


@dataclass
class Behaviour:
    """What the server is and what goes wrong."""

    kind: str = "llamacpp"  # or 'vllm', 'sglang', 'other'
    names: tuple[str, ...] = ("tiny",)
    key: str | None = None
    busy: int = 0  # requests that are answered 429
    retry_after: str = "0"
    closes_after: int | None = None  # events of an answer, then the connection is closed
    ends_after: int | None = None  # the stream ends in order, without an end of its answer
    short: int | None = None  # an answer has so many tokens, whatever was asked
    garbage: bool = False
    error_event: bool = False
    silent: bool = False
    takes_ids: bool = True
    metrics: str | None = None
    port: int = 0  # any
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    wake: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behaviour: Behaviour

    def do_GET(self) -> None:
        be = self.behaviour
        models = [{"id": n, "owned_by": be.kind, "meta": {"n_vocab": VOCABULARY}} for n in be.names]
        pages: dict[str, Any] = {"/v1/models": {"data": models}, "/health": {"status": "ok"}}
        if be.kind == "llamacpp":
            pages["/props"] = {"default_generation_settings": {}, "total_slots": 2, "build_info": "b1"}
        if be.kind == "vllm":
            pages["/version"] = {"version": "9"}
        if be.kind == "sglang":
            pages["/server_info"] = {"version": "0.5.9", "model_path": "tiny"}
        if be.metrics is not None and self.path == "/metrics":
            self._answer(200, None, text=be.metrics)
            return
        page = pages.get(self.path)
        self._answer(200 if page else 404, page or {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        be = self.behaviour
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        be.asked.append(body)
        be.keys.append(self.headers.get("Authorization"))
        if be.key and self.headers.get("Authorization") != f"Bearer {be.key}":
            self._answer(401, {"error": {"message": "no key"}})
        elif be.busy > 0:
            be.busy -= 1
            self._answer(429, {"error": {"message": "too many"}}, {"Retry-After": be.retry_after})
        elif self.path == "/tokenize":
            self._answer(200, {"tokens": [ord(c) % VOCABULARY for c in body.get("content", "")]})
        elif self.path == "/generate":
            self._answer(200, {"meta_info": prompt_logprobs(body["input_ids"], body["top_logprobs_num"])})
        elif "prompt_logprobs" in body:
            self._answer(200, {"choices": [{"prompt_logprobs": list(places(body["prompt"]))}]})
        elif "n_probs" in body:
            self._answer(200, forced(body["prompt"], body["logit_bias"][0][0]))
        elif isinstance(body["prompt"], list) and not be.takes_ids:
            self._answer(400, {"error": {"message": "prompt must be text"}})
        else:
            self._stream(body)

    def _stream(self, body: dict[str, Any]) -> None:
        be = self.behaviour
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if be.silent:
            be.wake.wait(10)
        try:
            for number, event in enumerate(self._events(body)):
                if be.closes_after == number:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if be.ends_after == number:
                    break
                self._chunk(b"data: " + (b"{" if be.garbage else json.dumps(event).encode()) + b"\n\n")
            self._chunk(b"")
        except OSError:
            self.close_connection = True  # the client has heard enough

    def _events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        be = self.behaviour
        if be.error_event:
            yield {"error": {"message": "out of cache"}}
            return
        asked = body.get("n_predict") or body.get("max_tokens")
        prompt = body["prompt"] if isinstance(body["prompt"], list) else [ord(c) for c in body["prompt"]]
        ids = continued(prompt, asked if be.short is None else min(asked, be.short))
        free = not body.get("ignore_eos")
        whole = ids[: ids.index(END)] if free and END in ids else ids
        reason = "length" if len(whole) == asked else "stop"
        for token in whole:
            yield self._event(body, token)
        if be.kind == "llamacpp":
            yield {
                "stop": True,
                "stop_type": "limit" if reason == "length" else "eos",
                "tokens": [],
                "tokens_predicted": len(whole),
                "tokens_evaluated": len(prompt),
                "timings": {"prompt_ms": 10.0, "predicted_ms": 20.0},
            }
            return
        yield {"choices": [{"text": "", "finish_reason": reason, "token_ids": []}]}
        yield {"choices": [], "usage": {"completion_tokens": len(whole), "prompt_tokens": len(prompt)}}

    def _event(self, body: dict[str, Any], token: int) -> dict[str, Any]:
        if self.behaviour.kind == "llamacpp":
            return {"content": chr(65 + token), "tokens": [token], "stop": False}
        choice: dict[str, Any] = {"text": chr(65 + token), "finish_reason": None}
        if body.get("return_token_ids"):
            choice["token_ids"] = [token]
        return {"choices": [choice]}

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _answer(
        self, status: int, page: Any, headers: dict[str, str] | None = None, text: str | None = None
    ) -> None:
        content = json.dumps(page).encode() if text is None else text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *parts: object) -> None:
        pass


def probabilities(before: Sequence[int]) -> dict[int, float]:
    """Token -> probability behind these tokens: one half for the next, a quarter for the one after it."""
    best = sum(before) % VOCABULARY
    rest = 0.25 / (VOCABULARY - 2)
    found = dict.fromkeys(range(VOCABULARY), rest)
    return found | {best: 0.5, (best + 1) % VOCABULARY: 0.25}


def places(ids: Sequence[int]) -> Iterator[dict[str, Any] | None]:
    """vLLM's prompt_logprobs: of each token the two most likely ones and the true one."""
    yield None
    for place in range(1, len(ids)):
        known = probabilities(ids[:place])
        best = sorted(known, key=lambda token: -known[token])[:2]
        yield {str(token): {"logprob": log(known[token])} for token in {*best, ids[place]}}


def prompt_logprobs(ids: Sequence[int], k: int) -> dict[str, Any]:
    """sglang's: of each token its own value, and the k most likely ones; of the first nothing."""
    own: list[Any] = [[None, ids[0], None]]
    best: list[Any] = [None]
    for place in range(1, len(ids)):
        known = probabilities(ids[:place])
        own.append([log(known[ids[place]]), ids[place], None])
        best.append([[log(known[t]), t, None] for t in sorted(known, key=lambda t: -known[t])[:k]])
    return {"input_token_logprobs": own, "input_top_logprobs": best}


def forced(before: Sequence[int], token: int) -> dict[str, Any]:
    """llama.cpp's answer with a favoured token."""
    known = probabilities(before)
    best = sorted(known, key=lambda one: -known[one])[:2]
    top = [{"id": one, "logprob": log(known[one])} for one in best]
    return {"completion_probabilities": [{"id": token, "logprob": log(known[token]), "top_logprobs": top}]}


@contextmanager
def fake_server(**behaviour: Any) -> Iterator[tuple[str, Behaviour]]:
    """(address, what it is and was asked) of a server that ends with the block."""
    be = Behaviour(**behaviour)
    server = ThreadingHTTPServer(("127.0.0.1", be.port), type("Own", (Handler,), {"behaviour": be}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", be
    finally:
        be.wake.set()
        server.shutdown()
        server.server_close()
        thread.join()
