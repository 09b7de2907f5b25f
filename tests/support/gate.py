"""An HTTP gate in front of a Vault: a request can be held, answered in the server's place, or its answer replaced."""

import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request, before it is passed on."""

    method: str
    path: str
    body: bytes

    @property
    def step(self):
        """What a put or a sweep does with it."""
        kind = self.path.split("/")[3] if self.path.count("/") > 2 else self.path
        return f"{self.method} {kind}"


class Gate:
    """Forwards to a port. `before` and `after` get each request and may return (status, JSON text) to answer with.

    What `before` returns is answered in the server's place; what `after` returns, in place of the server's answer.
    """

    def __init__(self, port):
        self.target = port
        self.before = self.after = lambda _: None
        self.asked = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    @property
    def steps(self):
        return [each.step for each in self.asked]


def _handler(gate):
    class Handler(BaseHTTPRequestHandler):
        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, body)
            gate.asked.append(asked)
            answer = gate.before(asked)
            if answer is None:
                far = http.client.HTTPConnection("127.0.0.1", gate.target)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                far.request(self.command, self.path, body, headers)
                response = far.getresponse()
                answer = gate.after(asked) or (response.status, response.read())
                far.close()
            status, text = answer
            text = text.encode() if isinstance(text, str) else text
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "LIST"):
        setattr(Handler, f"do_{method}", Handler.pass_on)
    return Handler
