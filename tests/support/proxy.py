"""A TCP proxy on 127.0.0.1 that harms connections: at a given byte it cuts, truncates, stalls, swallows or delays."""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

_CHUNK = 1 << 14


@dataclass(frozen=True)
class Fault:
    """What happens to one connection. `up` counts bytes from the client, otherwise those from the server.

    cut: both sides get a reset. truncate: both get an end, as if the other had closed. stall: nothing moves for
    `seconds`. blackhole: everything is swallowed from there on, and nothing is closed. delay: a chunk takes `seconds`.
    """

    kind: str
    at: int = 0
    up: bool = False
    seconds: float = 0.5


class Proxy:
    """Forwards to a port. Each new connection takes the next fault of `faults`; when they are used up, none.

    `sent` counts the bytes that came from clients.
    """

    def __init__(self, target, faults=()):
        self._target, self.faults = target, list(faults)
        self.connections = self.sent = 0
        self.swallows = False
        """Set it, and from now on nothing passes, in no connection, and nothing is closed: the line is a black hole."""
        self._pairs = []
        self.held = 0
        """So many bytes of clients are held back now."""
        self._cuts = []
        self._open = set()
        self._threads = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        # Closing alone does not wake an accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            pair.released.set()
        self.drop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def drop(self):
        """Cut every connection there is, now."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def hold(self):
        """Hold back what clients send over the present connections, even if they close them; new connections pass."""
        for pair in self._pairs:
            pair.released.clear()

    def release(self):
        """Deliver what was held back, and wait until the server has closed what those connections were."""
        waiting = [pair for pair in self._pairs if not pair.released.is_set()]
        for pair in waiting:
            pair.released.set()
        deadline = time.monotonic() + 60
        while any(pair.open for pair in waiting):
            assert time.monotonic() < deadline, "the server did not close the connection"
            time.sleep(0.02)
        self.held = 0

    def cut_within(self, *sizes):
        """Cut every connection there is after so many more bytes, whichever way they go; then again, and so on."""
        with self._lock:
            self._cuts = list(sizes)

    def count(self, size):
        """Count bytes that have passed. Returns True if the connections are to be cut now."""
        with self._lock:
            if not self._cuts:
                return False
            self._cuts[0] -= size
            if self._cuts[0] > 0:
                return False
            del self._cuts[0]
        self.drop()
        return True

    def _spawn(self, work, *args):
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
                self.connections += 1
                fault = self.faults.pop(0) if self.faults else None
            self._pairs.append(_Pair(self, client, server, fault))
            self._pairs[-1].begin()

    def forget(self, *sockets):
        with self._lock:
            for one in sockets:
                self._open.discard(one)
                one.close()


class _Pair:
    """One connection: two directions, closed when both have ended."""

    def __init__(self, proxy, client, server, fault):
        self._proxy, self._client, self._server, self._fault = proxy, client, server, fault
        self._left = 2
        self._lock = threading.Lock()
        self._swallow = False
        self._hold_until = 0.0
        self.released = threading.Event()
        self.released.set()

    @property
    def open(self):
        """Whether either direction is open yet."""
        return self._left > 0

    def begin(self):
        self._proxy._spawn(self._pump, self._client, self._server, True)
        self._proxy._spawn(self._pump, self._server, self._client, False)

    def _pump(self, source, target, up):
        fault = self._fault if self._fault and (self._fault.up == up or self._fault.kind == "delay") else None
        moved = 0
        try:
            while data := source.recv(_CHUNK):
                if fault and fault.kind == "delay":
                    time.sleep(fault.seconds)
                self._proxy.sent += up * len(data)
                if up and not self.released.is_set():
                    self._proxy.held += len(data)
                    self.released.wait()
                if fault and fault.kind != "delay" and moved + len(data) > fault.at:
                    before, data = data[: fault.at - moved], data[fault.at - moved :]
                    moved += len(before)
                    target.sendall(before)
                    if not self._harm(fault):
                        return
                    fault = None
                time.sleep(max(0.0, self._hold_until - time.monotonic()))
                if not (self._swallow or self._proxy.swallows):
                    target.sendall(data)
                    moved += len(data)
                    if self._proxy.count(len(data)):
                        return
            if not (self._swallow or self._proxy.swallows):
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        finally:
            with self._lock:
                self._left -= 1
                last = not self._left
            if last:
                self._proxy.forget(self._client, self._server)

    def _harm(self, fault):
        """Do it. Returns True if the proxy goes on reading."""
        match fault.kind:
            case "cut":
                for one in (self._client, self._server):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._shut()
            case "truncate":
                self._shut()
            case "stall":
                self._hold_until = time.monotonic() + fault.seconds
                return True
            case "blackhole":
                self._swallow = True
                return True
        return False

    def _shut(self):
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
