"""A relay in front of a server that a test can shut: clients see an outage."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Passes every connection to its own port on to another one, while it is open."""

    def __init__(self, target_port: int) -> None:
        self.target_port, self.port = target_port, 0
        self.connections: list[socket.socket] = []
        self.reopen()

    def reopen(self) -> None:
        """Accept connections, at every call on the same port."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
                self.connections += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        """End all connections and refuse new ones."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.connections.clear()


@contextlib.contextmanager
def relay_to(address: str) -> Iterator[tuple[Relay, str]]:
    """A relay to an http://HOST:PORT address, and the relay's own address."""
    relay = Relay(int(address.rsplit(":", 1)[1]))
    try:
        yield relay, f"http://127.0.0.1:{relay.port}"
    finally:
        relay.shut()
