"""A server that keeps what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug import Request, Response
from werkzeug.serving import make_server

Asked = tuple[str, str | None]
"""Path, and the header Authorization."""


@contextmanager
def listener(status: int = 200, elsewhere: str = "", body: bytes = b"") -> Iterator[tuple[str, list[Asked]]]:
    """Its address, and what it was asked so far; every answer has the status and the body, and 302 sends elsewhere."""
    asked: list[Asked] = []

    @Request.application
    def answer(request: Request) -> Response:
        asked.append((request.full_path.removesuffix("?"), request.headers.get("Authorization")))
        return Response(body, status, {"Location": elsewhere} if elsewhere else {})

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}", asked
    server.shutdown()
