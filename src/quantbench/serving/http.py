"""HTTP to one server: JSON answers, and streams of server-sent events. Knows no engine.

The standard library's client: one thread a request, a connection that is kept, and nothing between the
socket and the clock. Whatever goes wrong is a ServerError of one sentence; the key is never part of one.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from quantbench.errors import RefusedError, ServerError, UsageError

KEY_VARIABLE = "QUANTBENCH_API_KEY"
CHUNK = 1 << 16
LONGEST_ERROR = 300  # characters of what a server says
RETRIES = 4  # of a request that the server has no room for
LONGEST_WAIT_S = 60.0  # that a Retry-After is obeyed
BUSY = (429, 503)
DATA = b"data:"
DONE = b"[DONE]"


def parse_url(url: str) -> tuple[str, str, int, str]:
    """(scheme, host, port, path without a last '/v1'); UsageError for what is no such address.

    An address with a password is refused: records keep it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise UsageError(
            f"--base-url '{url[:100]}' is no address ({error}); give http://HOST:PORT"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"--base-url '{url[:100]}' is no address; give http://HOST:PORT")
    if parts.username or parts.password:
        raise UsageError(f"--base-url holds a name or a password; set {KEY_VARIABLE} instead")
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/").removesuffix("/v1")


@dataclass(slots=True)
class Server:
    """One server's address; `request` and `stream` may be called from several threads at once."""

    url: str
    key: str | None = None
    timeout_s: float = 600.0  # of silence
    died: Callable[[], str | None] = lambda: None  # how a server of our own ended, as a sentence
    sleep: Callable[[float], None] = time.sleep
    _local: threading.local = field(default_factory=threading.local)

    def request(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON that a path answers, GET without and POST with a body."""
        content = self.text(path, body)
        try:
            return json.loads(content)
        except ValueError as error:
            raise ServerError(
                f"{self.url}{path} answers with something else than JSON; check --base-url"
            ) from error

    def text(self, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The bytes that a path answers."""
        response = self._open(path, body, retry=True)
        try:
            return response.read()
        except (OSError, HTTPException) as error:
            raise self._broken(error, "while it answered") from error

    def known(self, path: str) -> Any:
        """The JSON of a path that a server may not have; None where it has none."""
        try:
            return self.request(path)
        except RefusedError:
            return None

    def stream(self, path: str, body: Mapping[str, Any], *, retry: bool) -> Iterator[dict[str, Any]]:
        """Every event's JSON as it comes, until '[DONE]' or the end of the stream.

        `retry` waits as long as a busy server asks; else that is a RefusedError, as waiting is no time of a
        token. Whoever stops reading early drops the connection, by which the server learns that it may stop.
        """
        response = self._open(path, body, retry=retry)
        whole, rest = False, b""
        try:
            while chunk := response.read1(CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = line.strip()
                    if not event.startswith(DATA):
                        continue
                    event = event[len(DATA) :].strip()
                    if event == DONE:
                        response.read()
                        whole = True
                        return
                    yield self._event(event)
            whole = True
        except (OSError, HTTPException) as error:
            raise self._broken(error, "in the middle of an answer") from error
        finally:
            if not whole:
                self._drop()

    def _event(self, content: bytes) -> dict[str, Any]:
        try:
            event = json.loads(content)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise ServerError(f"{self.url} sent an event that is no JSON object: {shortened(content)}")
        if isinstance(event.get("error"), dict | str):
            raise RefusedError(f"{self.url} broke an answer off: {message_of(content)}")
        return event

    def _open(self, path: str, body: Mapping[str, Any] | None, *, retry: bool) -> HTTPResponse:
        """The response of a request that was accepted."""
        for attempt in range(RETRIES + 1):
            response = self._send(path, body)
            if response.status < 300:
                return response
            content = response.read(CHUNK)
            waited = retry_after(response)
            self._drop()
            if response.status not in BUSY or not retry or attempt == RETRIES:
                raise self._refused(response.status, path, content)
            self.sleep(min(waited if waited is not None else 2.0**attempt, LONGEST_WAIT_S))
        raise AssertionError

    def _send(self, path: str, body: Mapping[str, Any] | None) -> HTTPResponse:
        """The response to one attempt; a kept connection that was closed meanwhile is made anew."""
        headers = {"Accept": "application/json, text/event-stream"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        kept = getattr(self._local, "connection", None) is not None
        for again in (kept, False):
            try:
                connection = self._connection()
                prefix = parse_url(self.url)[3]
                connection.request("GET" if content is None else "POST", prefix + path, content, headers)
                return connection.getresponse()
            except (OSError, HTTPException) as error:
                self._drop()
                if not again or isinstance(error, TimeoutError):
                    raise self._broken(error, "before an answer") from error
        raise AssertionError

    def _connection(self) -> HTTPConnection:
        found: HTTPConnection | None = getattr(self._local, "connection", None)
        if found is None:
            scheme, host, port, _ = parse_url(self.url)
            kind = HTTPSConnection if scheme == "https" else HTTPConnection
            found = self._local.connection = kind(host, port, timeout=self.timeout_s)
        return found

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

    def _broken(self, error: Exception, when: str) -> ServerError:
        if sentence := self.died():
            return ServerError(sentence)
        if isinstance(error, TimeoutError):
            return ServerError(
                f"{self.url} said nothing for {self.timeout_s:g} s {when}; look whether it still works, or "
                "give it less at once"
            )
        if isinstance(error, ConnectionRefusedError):
            return ServerError(f"no server answers at {self.url}; start it, or correct --base-url")
        reason = str(error) or type(error).__name__
        if when == "before an answer":
            return ServerError(f"{self.url} cannot be asked ({reason}); start it, or correct --base-url")
        return ServerError(f"{self.url} closed the connection {when} ({reason}); look into its log")

    def _refused(self, status: int, path: str, content: bytes) -> ServerError:
        said = message_of(content)
        if status in (401, 403):
            what = "refuses the key" if self.key else "needs a key"
            return ServerError(f"{self.url} {what}: set {KEY_VARIABLE} in the environment ({status}: {said})")
        if status in BUSY:
            return RefusedError(
                f"{self.url} has no room for more requests ({status}: {said}); ask for fewer at once"
            )
        return RefusedError(f"{self.url}{path} answers {status}: {said}")


def retry_after(response: HTTPResponse) -> float | None:
    """Seconds that a server asks to wait; None where it names none that can be read."""
    try:
        return max(0.0, float(response.getheader("Retry-After") or ""))
    except ValueError:
        return None


def message_of(content: bytes) -> str:
    """What a server says of an error: its message where there is one."""
    try:
        found = json.loads(content)
        error = found.get("error", found)
        said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    except (ValueError, AttributeError, RecursionError):
        said = None
    return shortened(str(said).encode() if said else content)


def shortened(content: bytes) -> str:
    """The beginning of what a server wrote, in one line."""
    text = " ".join(content.decode(errors="replace").split())
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]} [...]"
