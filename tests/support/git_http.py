"""A real smart HTTP server for git: `git http-backend` behind Python's own server, with Basic authentication."""

import base64
import http.server
import os
import threading
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from codex_runner.demo.forge_git import http_backend
from codex_runner.demo.forge_state import Request

TOKEN = "forge-token-0123456789abcdef"


class GitHttp:
    """Serves each bare repository of this machine, by its path, to the user `user` with the password `token`.

    `faults` is a list of what befalls the next requests to a service, in order: ("git-upload-pack", "503"), for one.
    "503" answers before git does anything, "lost" closes the connection after git has done it, and a function is called
    before git serves the request. `asked` has the path of each request with its Authorization header. With `old`, the
    server speaks git's first protocol alone.
    """

    def __init__(self, user="x-access-token", token=TOKEN):
        self.user, self.token = user, token
        self.faults, self.asked = [], []
        self.redirect, self.old = "", False
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def fault(self, path):
        """Take the fault for this request off the list."""
        if self.faults and self.faults[0][0] in path:
            return self.faults.pop(0)[1]
        return ""

    def allows(self, header):
        return header == "Basic " + base64.b64encode(f"{self.user}:{self.token}".encode()).decode()


def _handler(served):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self._serve(b"")

        def do_POST(self):
            self._serve(self._body())

        def _body(self):
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = bytearray()
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, status, headers, body):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _serve(self, body):
            header = self.headers.get("Authorization", "")
            served.asked.append((self.path, header))
            if served.redirect:
                self._answer(301, [("Location", served.redirect + self.path)], b"")
                return
            if not served.allows(header):
                self._answer(401, [("WWW-Authenticate", 'Basic realm="forge"')], b"who is it?\n")
                return
            fault = served.fault(self.path)
            if callable(fault):
                fault()
                fault = ""
            if fault.isdigit():
                self._answer(int(fault), [], b"")
                return
            status, headers, content = self._git(body)
            if fault == "lost":
                self.close_connection = True
                self.connection.close()
                return
            self._answer(status, headers, content)

        def _git(self, body):
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            if served.old:
                headers.pop("git-protocol", None)
            request = Request(0, self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
            environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
            reply = http_backend(Path("/"), environ, request, parts.path, served.user)
            return reply.status, [pair for pair in reply.headers.items() if pair[0] != "content-length"], reply.body

        def log_message(self, *_):
            pass

    return Handler
