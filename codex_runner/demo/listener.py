"""An HTTP server of the demo: it tracks its connections, so that closing it can break them."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Listener(ThreadingHTTPServer):
    """A server on 127.0.0.1. Its handler finds in `service` what answers."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, service: Any, handler: type[BaseHTTPRequestHandler]) -> None:
        """Bind and listen. Port 0 picks a free one."""
        self.service = service
        self._connections: dict[threading.Thread, socket.socket] = {}
        super().__init__(("127.0.0.1", port), handler)
        self.port: int = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="demo", daemon=True)

    def start(self) -> None:
        """Serve from now on, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, break every connection, wait for their threads. Idempotent."""
        self.shutdown()
        self.break_connections()
        self.server_close()
        self._thread.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in a thread of its own, which is tracked before it starts."""
        arguments = (request, client_address)
        thread = threading.Thread(
            target=self.process_request_thread, args=arguments, name="demo-connection", daemon=True
        )
        self._connections[thread] = request
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._connections[threading.current_thread()]

    def break_connections(self) -> None:
        """End every connection, and wait for the threads that served them."""
        for thread, connection in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(2.0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections: some tests kill the client. Bugs still reach stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
