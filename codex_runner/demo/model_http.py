"""The HTTP of the scripted model service: headers, and streams that can break or stall."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from codex_runner.demo.model_request import ModelRequest, for_response
from codex_runner.demo.model_wire import CutStream, HttpError, Reply, Silence, encode, refuse

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterable, Mapping

    from codex_runner.demo.answers import Answers
    from codex_runner.demo.model_wire import Streamed


class ModelHandler(BaseHTTPRequestHandler):
    """One connection of codex. Responses are chunked, so that one can be cut in the middle."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing: `Answers.requests` is the log."""

    @property
    def service(self) -> Answers:
        """What answers."""
        service: Answers = self.server.service
        return service

    def do_GET(self) -> None:
        """Answer another endpoint than the model's. Refuses websockets; codex then falls back to HTTP."""
        request = self.service.note(self._request(None))
        if self.headers.get("upgrade"):
            self._send(426, {"error": {"message": "no websockets"}})
        elif not self.service.admits(request.bearer):
            self._send_error_of(refuse(401, "the token is expired or revoked", "token_expired"))
        else:
            self._send(*self.service.endpoint(request.path))

    def do_POST(self) -> None:
        """Answer with a model response, or like GET."""
        service = self.service
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            request = self._request(json.loads(raw or b"null"))
        except ValueError:
            encoding = self.headers.get("content-encoding", "none")
            self._send_error_of(refuse(415, f"the body is not JSON (content-encoding: {encoding})"))
            return
        if not request.path.endswith("/responses"):
            service.note(request)
            self._send(*service.endpoint(request.path))
            return
        request = service.note(for_response(request, service.default))
        if not service.admits(request.bearer):
            self._send_error_of(refuse(401, "the token is missing, expired or revoked", "invalid_token"))
            return
        answer = service.play(request)
        if isinstance(answer, HttpError):
            self._send_error_of(answer)
        else:
            self._stream(answer, request.tools)

    def _request(self, body: Any) -> ModelRequest:
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        return ModelRequest(
            method=self.command,
            path=self.path.partition("?")[0],
            bearer=token.strip() if scheme.lower() == "bearer" else None,
            body=body,
        )

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self._send_text(status, json.dumps(body), headers)

    def _send_text(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_error_of(self, answer: HttpError) -> None:
        text = json.dumps({"error": dict(answer.error)}) if answer.body is None else answer.body
        self._send_text(answer.status, text, answer.headers)

    def _stream(self, answer: Streamed, tools: Collection[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        closing = self.service.closing
        delay = answer.delay if isinstance(answer, Reply) else 0.0
        for piece in _paced(encode(answer, tools), delay, closing):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if isinstance(answer, Silence):
            closing.wait(answer.seconds)
        if isinstance(answer, CutStream | Silence) or closing.is_set():
            self.close_connection = True  # without the final chunk of size 0
        else:
            self.wfile.write(b"0\r\n\r\n")


def _paced(events: Iterable[bytes], delay: float, closing: threading.Event) -> Iterable[bytes]:
    """Yield all events as one piece, or one by one with `delay` seconds before each, until the service closes."""
    if not delay:
        yield b"".join(events)
        return
    for one in events:
        if closing.wait(delay):
            return
        yield one
