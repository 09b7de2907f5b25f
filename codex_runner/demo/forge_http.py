"""The small forge's side of HTTP: one request in, one reply out, or a cut connection."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from codex_runner.demo.forge_state import ForgeReply


class Answering(Protocol):
    """Answers requests."""

    def answer(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> ForgeReply | None:
        """Return the reply, None to cut the connection."""


class ForgeHandler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing: `SmallForge.requests` is the log."""

    def do_GET(self) -> None:
        """Answer."""
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        service: Answering = self.server.service
        reply = service.answer(
            self.command, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, self._read()
        )
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - as http.server calls them

    def _read(self) -> bytes:
        """Return the body. git sends a large one in chunks."""
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = bytearray()  # a push of 50 MB has thousands of chunks: bytes would be copied for each
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)
