"""What a run costs that only waits: the processor time of all its processes but codex, here and on an SSH host.

Its codex says that a turn has begun, and then nothing for a while. Everything that is started below this process is
counted, also what detaches itself: the runner, the supervisor with its ticker, and over SSH both ends of the line. ssh
and sshd are shown apart from our own. `python ci/bench_waiting.py [SECONDS]` shows each process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench_ssh import BEGIN, END, Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seconds. A session that has proven the job's settings stays for twenty, in case that there is more to ask.
SETTLING, WAITING, LINGERING = 25.0, 60.0, 30.0
LIMITS = {"local": 0.2, "devbox": 0.4}  # per cent of a core; over SSH, both sides together
SUBREAPER = 36
SLEEPER = f"""
import time
for line in {BEGIN!r}: print(line, flush=True)
time.sleep(float('SECONDS'))
for line in {END!r}: print(line, flush=True)
"""


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    seconds: float
    words: str

    @property
    def name(self) -> str:
        """An argument may be a whole script."""
        words = self.words.split("\n")[0].split()
        return " ".join([Path(words[0]).name, *words[1:]])[:60] if words else "?"

    @classmethod
    def read(cls, pid: str) -> Process | None:
        try:
            stat = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            own = Path("/proc", pid, "schedstat").read_text(encoding="ascii").split()[0]
            words = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return None
        if stat[0] == "Z":
            return None
        # Its own time in nanoseconds: the kernel's samples miss what works for less than a tick, or take it for a whole
        # one. And that of the children that it has waited for, which only samples tell.
        seconds = int(own) / 1e9 + sum(map(int, stat[13:15])) / os.sysconf("SC_CLK_TCK")
        return cls(int(pid), int(stat[1]), seconds, words)


def below(root: int, codex: str) -> Iterator[Process]:
    """Yield all processes below one but the scripted codex."""
    every = [process for entry in Path("/proc").glob("[0-9]*") if (process := Process.read(entry.name))]
    parents = {root}
    while parents:
        found = [process for process in every if process.parent in parents]
        parents = {process.pid for process in found if codex not in process.words.split(" ")[:2]}
        yield from (process for process in found if process.pid in parents)


def waiting(made: Bench, host: str, seconds: float, *, verbose: bool = False) -> tuple[float, float]:
    """Return what a waiting run takes, and what its line does beside it: in per cent of a core."""
    path = made.scratch / "waiting.py"
    path.write_text(SLEEPER.replace("SECONDS", f"{SETTLING + seconds + LINGERING}"), encoding="utf-8")
    made.fake(f"case $* in *exec*) exec {sys.executable} {path} ;; esac")
    config = made.scratch / "codex-runner.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('"devbox"', f'"{host}"'), encoding="utf-8")
    with made.start(
        "--set",
        "jobs.hi.sandbox=danger-full-access",
        "-o",
        str(made.scratch / "out"),
        stderr=None if verbose else subprocess.DEVNULL,
    ) as process:
        try:
            while process.poll() is None and not any(str(path) in each.words for each in below(os.getpid(), "")):
                time.sleep(0.1)
            time.sleep(SETTLING)
            began = time.monotonic()
            before = {each.pid: each for each in below(os.getpid(), str(path))}
            if process.poll() is not None or len(before) < 3:
                sys.exit("the run does not wait: it has ended, or never began")
            time.sleep(seconds)
            wall = time.monotonic() - began
            after = {each.pid: each for each in below(os.getpid(), str(path))}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
    costs = [(each.seconds - (before[pid].seconds if pid in before else 0.0), each) for pid, each in after.items()]
    if verbose:
        for cost, each in costs:
            print(f"         {cost / wall * 100:6.3f} %  {each.pid:7} {each.parent:7}  {each.name}")
    line = sum(cost for cost, each in costs if each.name.startswith(("ssh ", "sshd")))
    return (sum(cost for cost, _ in costs) - line) / wall * 100, line / wall * 100


def bench_waiting(build: Path, seconds: float = WAITING, *, verbose: bool = False) -> None:
    # What detaches itself stays ours.
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with bench(build) as made:
        for name, host in (("here", "local"), ("over SSH", "devbox")):
            ours, line = waiting(made, host, seconds, verbose=verbose)
            verdict = "within the goal" if ours < LIMITS[host] else "ABOVE THE GOAL"
            beside = f", ssh and sshd {line:.2f} %" if host != "local" else ""
            print(f"waiting  {name:8} {ours:.2f} % of a core{beside}   ({verdict}: {LIMITS[host]:g} %)")


if __name__ == "__main__":
    bench_waiting(Path(__file__).parents[1] / "build", *map(float, sys.argv[1:2]), verbose=True)
