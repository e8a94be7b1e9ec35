"""A real receiver of webhooks on loopback that does what a test wants of it, request by request."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Receiver:
    """What came, and what is answered: `script` in turn, then 200.

    Words of the script: a status, with `status:retry_after`; `close` before an answer; `slow`, for `slow_s`; `drip`, a
    header byte by byte; `to=URL`, a redirect there.
    """

    url: str = ""
    script: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # keys that were answered with 2xx
    slow_s: float = 1.0

    @property
    def keys(self) -> list[str]:
        """Of everything that came."""
        return [headers["idempotency-key"] for headers in self.headers]


@contextmanager
def receiver(*script: str) -> Iterator[Receiver]:
    """A receiver that listens until the block ends."""
    found = Receiver(script=list(script))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            found.paths.append(self.path)
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            word = found.script.pop(0) if found.script else "200"
            if word == "close":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if word == "slow":
                time.sleep(found.slow_s)
                word = "200"
            if word == "drip":
                self._drip()
                return
            status, _, after = word.partition(":")
            redirect = word.removeprefix("to=") if word.startswith("to=") else None
            self.send_response(302 if redirect else int(status))
            if after and not redirect:
                self.send_header("Retry-After", after)
            if redirect:
                self.send_header("Location", redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if not redirect and 200 <= int(status) < 300:
                found.taken.append(found.keys[-1])

        do_GET = do_POST

        def _drip(self) -> None:
            """Never silent for long, and never done: what a limit for each read does not stop."""
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(60):
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
