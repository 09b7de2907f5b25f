"""A receiver of webhooks on 127.0.0.1 that answers as it is told, also over TLS."""

import contextlib
import json
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    status: int = 200
    body: bytes = b"ok"
    headers: tuple = ()
    # Seconds before the answer; None closes the connection in its place.
    after: float | None = 0.0
    drip: bool = False


@dataclass
class Post:
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Receiver:
    """Give it answers; the last one is for all that follow. `posts` is what came."""

    def __init__(self, *answers, context=None):
        self.answers, self.posts = list(answers) or [Answer()], []
        self.over, self.asked = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.posts.append(Post(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                outer.asked.set()
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if answer.after is None:
                    return
                outer.over.wait(answer.after)
                with contextlib.suppress(OSError):
                    self.send_response(answer.status)
                    for name, value in answer.headers:
                        self.send_header(name, value)
                    self.end_headers()
                    while answer.drip and not outer.over.wait(0.05):
                        self.wfile.write(b".")
                        self.wfile.flush()
                    self.wfile.write(answer.body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that refuses the certificate

            def get_request(self):
                connection, address = super().get_request()
                if context:
                    connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                return connection, address

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.block_on_close = True
        self._server.daemon_threads = False
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def certificate(folder):
    """Make a self-signed certificate for 127.0.0.1: its file, and a server's context with it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


def took(since):
    return time.monotonic() - since
