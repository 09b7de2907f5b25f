"""Starts the command line as `codex-runner` does, for half of the CPU: a process forks that has loaded its modules.

To load the runner is half of what a small run takes. Most tests ask what the runner does after that. So each process of
pytest keeps one server that has loaded it and forks for each command. The child gets the command's own arguments,
environment, folder, descriptors and session, and calls the same entry point.

What differs: `/proc/PID/environ` and `/proc/PID/cmdline` of the runner are the server's, and no module is loaded anew.
Tests of these start the program itself (`cold`), and so does every test of the nightly profile.
"""

import array
import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

# What a run loads, also late.
LOADED = (
    *("codex_runner.cli.main", "codex_runner.cli.run", "codex_runner.app.run", "codex_runner.config.schema"),
    *("codex_runner.config.values", "codex_runner.transports.remote.transport", "codex_runner.vault.client"),
    *("codex_runner.transports.carriers.ssh.connection", "codex_runner.transports.local_files"),
    *("junit_xml", "httpx", "hvac", "tenacity", "jsonschema"),
)

# Variables that Python or the loader reads before the program's first line.
_EARLY = ("PYTHON", "COVERAGE_", "LD_PRELOAD", "LC_", "LANG", "MALLOC_")

_servers = {}  # addresses, by pid
_profile = {"cold": sys.platform != "linux"}


def start_cold():
    """Let every command from here on start as the program itself."""
    _profile["cold"] = True


def start(command, *, cold, cwd, env, **streams):
    """Start `codex-runner` in a session of its own. Returns what `subprocess.Popen` does, as far as tests use it."""
    early = {name: value for name, value in env.items() if name.startswith(_EARLY)}
    as_here = all(value == os.environ.get(name) and name.startswith("PYTHON") for name, value in early.items())
    if cold or _profile["cold"] or not as_here or not Path(cwd).is_dir():
        return subprocess.Popen(command, cwd=cwd, env=env, start_new_session=True, **streams)
    return Warm(command, cwd=cwd, env=env, **streams)


class Warm:
    """A command that the server has forked."""

    def __init__(self, command, *, cwd, env, stdin, stdout, stderr):
        self.args, self.returncode, self.stdin, self._waiting = command, None, None, threading.Lock()
        if stdin == subprocess.PIPE:
            theirs, ours = os.pipe()
            self.stdin = os.fdopen(ours, "wb", buffering=0)
        else:
            theirs = os.open(os.devnull, os.O_RDONLY)
        os.umask(umask := os.umask(0o077))
        asked = {"argv": [os.fspath(each) for each in command], "cwd": os.fspath(cwd), "env": env, "umask": umask}
        body = json.dumps(asked).encode()
        descriptors = array.array("i", [theirs, stdout.fileno(), stderr.fileno()])
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(_server())
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors.tobytes())
        self._server.sendmsg([len(body).to_bytes(4, "big")], [rights])
        self._server.sendall(body)
        os.close(theirs)
        self.pid = int.from_bytes(_exactly(self._server, 4), "big")

    def poll(self):
        if self._waiting.acquire(blocking=False):
            try:
                if self.returncode is None:
                    self._server.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        self._heard(self._server.recv(4))
            finally:
                self._waiting.release()
        return self.returncode

    def wait(self, timeout=None):
        with self._waiting:  # a test and its forge may wait for the same runner
            if self.returncode is None:
                self._server.settimeout(timeout)
                try:
                    self._heard(_exactly(self._server, 4))
                except TimeoutError:
                    raise subprocess.TimeoutExpired(self.args, timeout) from None
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def _heard(self, code):
        assert len(code) == 4, "the server has ended"
        self.returncode = int.from_bytes(code, "big", signed=True)
        self._server.close()


def _exactly(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the server has ended"
        data += part
    return data


def _server():
    """Return the address of this process's server, in the abstract namespace. Starts it first."""
    if (pid := os.getpid()) in _servers:
        return _servers[pid]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0codex-runner-tests-{pid}-{time.time_ns()}")
    listener.listen(64)
    held, given = socket.socketpair()
    program = "import sys; from support.warm import serve; serve(*map(int, sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(listener.fileno()), str(given.fileno())],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        pass_fds=(listener.fileno(), given.fileno()),
        cwd="/",
    )
    given.close()
    _servers[pid] = listener.getsockname()

    def stop():
        if os.getpid() == pid:
            held.close()
            process.wait()
            listener.close()

    atexit.register(stop)
    return _servers[pid]


def serve(listening, held):
    """Be the server, until the other end of `held` closes."""
    for name in LOADED:
        importlib.import_module(name)
    # What Python makes at the first use, such as typer's commands and compiled patterns.
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        sys.modules["codex_runner.cli.main"].command_line("run")(["run", "--help"])
    gc.collect()
    gc.freeze()
    listener, (waked, waking) = socket.socket(fileno=listening), socket.socketpair()
    for each in (waked, waking):
        each.setblocking(False)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running = {}
    with selectors.DefaultSelector() as selector:
        for each in (listener, waked, held):
            selector.register(each, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if held in ready:
                return
            if listener in ready:
                connection = listener.accept()[0]
                pid = _fork(connection)
                running[pid] = connection
                connection.sendall(pid.to_bytes(4, "big"))
            if waked in ready:
                waked.recv(4096)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    code = os.waitstatus_to_exitcode(status)
                    with contextlib.suppress(OSError):  # the test has lost interest
                        running[pid].sendall(code.to_bytes(4, "big", signed=True))
                    running.pop(pid).close()


def _fork(connection):
    """Read what is asked for, and return the pid of a child that becomes it."""
    size, passed, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    descriptors = array.array("i")
    descriptors.frombytes(passed[0][2])
    asked = json.loads(_exactly(connection, int.from_bytes(size, "big")))
    if pid := os.fork():
        for each in descriptors:
            os.close(each)
        return pid
    try:
        _become(asked, descriptors)
    except BaseException:  # noqa: BLE001 - the child must never go on as a server
        traceback.print_exc()
    os._exit(70)


def _become(asked, descriptors):
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
    for path in list(Path("/proc/self/fd").iterdir()):  # not each number up to the limit, which may be huge
        if int(path.name) > 2:
            with contextlib.suppress(OSError):  # that of the listing
                os.close(int(path.name))
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.umask(asked["umask"])
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    sys.argv = asked["argv"]
    sys.path.remove(str(Path(__file__).parents[1]))
    sys.modules["codex_runner.cli.main"].program()
