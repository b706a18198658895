"""A server that keeps what it was asked."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

Asked = tuple[str, str | None]
"""Path, and the header Authorization."""


@contextmanager
def listener(status: int = 200, elsewhere: str = "", body: bytes = b"") -> Iterator[tuple[str, list[Asked]]]:
    """Its address, and what it was asked so far.

    Args:
        status: of every answer; 302 sends elsewhere.
        elsewhere: where to.
        body: of every answer.
    """
    seen: list[Asked] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if elsewhere:
                self.send_header("Location", elsewhere)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", seen
        finally:
            listening.shutdown()
