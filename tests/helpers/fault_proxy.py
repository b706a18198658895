"""A proxy before a store on this machine that breaks what passes: the store and its client are real, the faults too."""

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWERS = {"503": "SlowDown", "429": "TooManyRequests", "500": "InternalError", "403": "ExpiredToken"}
SILENCE_SECONDS = 120.0
HOP_HEADERS = {"transfer-encoding", "connection", "content-length"}


@dataclass
class Fault:
    """What happens to requests; at first nothing does."""

    mode: str = ""
    """reset, cut, slow, silent, flip, or a status of ANSWERS."""
    times: int = 1 << 30
    """How many requests meet it."""
    until: float = float("inf")
    """`time.monotonic` at which it ends."""
    path: str = ""
    """Pattern in the paths of these requests."""
    method: str = ""
    """Pattern of their methods; empty: all."""
    met: int = 0


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on to another server of this machine; `fault` says what goes wrong."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.fault, self.lock = target.removeprefix("http://"), Fault(), threading.Lock()
        self.ended = threading.Event()
        self.knows_ranges = True
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def meets_fault(self, method: str, path: str) -> str:
        """The fault that this request meets; empty if none."""
        fault = self.fault
        with self.lock:
            if fault.met >= fault.times or time.monotonic() > fault.until:
                return ""
            if not re.search(fault.path, path) or not re.search(fault.method, method):
                return ""
            fault.met += bool(fault.mode)
            return fault.mode

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that clients give up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def pass_on(self) -> None:
        body = self._body()
        mode = self.server.meets_fault(self.command, self.path)
        if mode == "reset":
            self._break_off()
        elif mode == "silent":
            self.server.ended.wait(SILENCE_SECONDS)
            self._break_off()
        elif mode in ANSWERS:
            content = f"<Error><Code>{ANSWERS[mode]}</Code><Message>{ANSWERS[mode]}</Message></Error>".encode()
            self._answer(int(mode), [("Content-Type", "application/xml")], content, len(content))
        else:
            self._relay(body, mode)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = pass_on

    def _relay(self, body: bytes, mode: str) -> None:
        dropped = HOP_HEADERS if self.server.knows_ranges else HOP_HEADERS | {"range"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        connection = http.client.HTTPConnection(self.server.target, timeout=60)
        connection.request(self.command, self.path, body or None, headers | {"Content-Length": str(len(body))})
        answer = connection.getresponse()
        content = answer.read()
        length = int(answer.getheader("Content-Length") or len(content)) if self.command == "HEAD" else len(content)
        if mode == "flip" and len(content) > 3000:
            content = content[:2000] + bytes([content[2000] ^ 255]) + content[2001:]
        if mode == "slow":
            time.sleep(1.5)
        self._answer(
            answer.status,
            [item for item in answer.getheaders() if item[0].lower() not in HOP_HEADERS],
            content[: len(content) // 2] if mode == "cut" else content,
            length,
        )
        if mode == "cut":
            self._break_off()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in [*headers, ("Content-Length", str(length))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()

    def _break_off(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    """A proxy before the server at http://HOST:PORT, inside the `with`."""
    proxy = FaultProxy(target)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.shutdown()
        proxy.server_close()
