"""Jobs on an SSH host, a real sshd on 127.0.0.1: what a run costs, how soon a line is seen, what 100 MB take."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w
from bench_redact import stream

from codex_runner.demo.model import ModelService
from codex_runner.domain.event import Position
from codex_runner.domain.host import Ended, Launch
from codex_runner.domain.run import new_run_id
from codex_runner.transports.carriers.ssh.connection import SshCarrier
from codex_runner.transports.remote.transport import RemoteTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.sshd import Sshd

RUNNER = str(Path(sys.executable).with_name("codex-runner"))
TOKEN = "at-bench-0123456789abcdef"
SUPERVISOR, RUN, LATENCY = 1.10, 1.40, 100.0  # goals: ratios, and milliseconds
LINES, SPACING = 200, 0.05
SIZES = (20, 100)

# The real codex, but for its turn, which is what `body` does.
FAKE = """#!/bin/sh
case " $* " in *" --json "*) ;; *) exec {codex} "$@" ;; esac
cat >/dev/null
{body}
"""
BEGIN = ('{"type":"thread.started","thread_id":"t"}', '{"type":"turn.started"}')
END = (
    '{"type":"item.completed","item":{"id":"item_9","type":"agent_message","text":"done"}}',
    '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}',
)
TICKER = f"""
import time
for line in {BEGIN!r}: print(line, flush=True)
for number in range({LINES}):
    time.sleep({SPACING})
    text = '{{"type":"item.completed","item":{{"id":"item_%d","type":"agent_message","text":"at %.6f"}}}}'
    print(text % (number, time.time()), flush=True)
for line in {END!r}: print(line, flush=True)
"""

MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Bench:
    """A host, a workspace on it, and a project here whose one job runs there."""

    def __init__(self, scratch: Path, sshd: Sshd) -> None:
        self.scratch, self.sshd = scratch, sshd
        self.workspace = scratch / "workspace"
        self.workspace.mkdir()
        subprocess.run(["git", "init", "-q", str(self.workspace)], check=True)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(scratch / "home"), "CODEX_ACCESS_TOKEN": TOKEN}
        (scratch / "home").mkdir()

    def configure(self, codex: str, config: dict[str, object], env: dict[str, str], **job: object) -> None:
        job = {"prompt": "say hi", "host": "devbox", "cwd": str(self.workspace), **job}
        settings = {
            "version": 1,
            "ssh_config": str(self.sshd.config),
            "codex": {"path": codex, "model": "gpt-5.5", "config": config, "env": env},
            "jobs": {"hi": job},
        }
        (self.scratch / "codex-runner.toml").write_text(tomli_w.dumps(settings))

    def fake(self, codex: str, body: str) -> None:
        path = self.scratch / "fake-codex"
        path.write_text(FAKE.format(codex=codex, body=body))
        path.chmod(0o755)
        self.configure(str(path), {}, {})

    def start(self, *options: str, **streams: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [RUNNER, "run", "hi", *options],
            cwd=self.scratch,
            env=self.environ,
            **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams},
        )

    def measured(self) -> subprocess.CompletedProcess[bytes]:
        """Run the job to its end, below a small process: a large one's memory would count as its child's."""
        command = [sys.executable, "-c", MEASURE, RUNNER, "run", "hi"]
        return subprocess.run(command, cwd=self.scratch, env=self.environ, stdout=subprocess.PIPE, check=False)


@contextmanager
def bench(build: Path) -> Iterator[Bench]:
    # Not below /tmp: codex warns of homes there, and gives them no helper programs.
    build.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-ssh-", dir=build))
    try:
        environment = {"HOME": str(scratch / "account"), "XDG_STATE_HOME": str(scratch / "state")}
        with Sshd(scratch / "sshd", environment=environment) as sshd:
            yield Bench(scratch, sshd)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def bench_ssh(rounds: int, codex: str, build: Path, compare: Callable[..., None]) -> None:
    with bench(build) as made, ModelService("hi", bearers={TOKEN}) as service:
        cost(made, service, rounds, codex, compare)
        latency(made, codex)
        throughput(made, codex)


def cost(made: Bench, service: ModelService, rounds: int, codex: str, compare: Callable[..., None]) -> None:
    """What is between us and codex on a host, and a whole run, against `ssh HOST codex exec`.

    That one has codex's default settings and a fresh CODEX_HOME. The first of ours has the same: it connects, starts
    and follows through the supervisor, and removes the run directory. The second adds a process of Python, the
    credential's proof, checks and reports.
    """
    setup = service.with_access_token(TOKEN)
    others = {k: v for k, v in setup.environment.items() if k != "CODEX_ACCESS_TOKEN"}
    made.configure(codex, setup.config, others, credential={"source": "env", "allow_unexpiring": True})
    home = made.scratch / "codex-home"
    variables = " ".join(f"{name}={value}" for name, value in {**setup.environment, "CODEX_HOME": home}.items())
    command = f"cd {made.workspace} && {variables} {codex} exec --json 'say hi' </dev/null"

    def bare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        (home / "config.toml").write_text(tomli_w.dumps({"model": "gpt-5.5", **setup.config}))
        subprocess.run(["ssh", "-F", made.sshd.config, "devbox", command], capture_output=True, check=True)

    async def follow() -> None:
        transport = RemoteTransport(SshCarrier("devbox", made.environ, ("-F", str(made.sshd.config))))
        launch = Launch(
            run_id=new_run_id("bench"),
            attempt=1,
            command=(codex, "exec", "--json", "-"),
            cwd=str(made.workspace),
            config=tomli_w.dumps({"model": "gpt-5.5", **setup.config}),
            prompt=b"say hi",
            timeout=60.0,
            orphan=60.0,
            retention=3600.0,
            environment=setup.environment,
        )
        try:
            await transport.start(launch)
            pieces = [piece async for piece in transport.follow(launch.run_id, 1, Position())]
            await transport.discard(launch.run_id)
        finally:
            await transport.close()
        if not isinstance(pieces[-1], Ended) or pieces[-1].exit.code != 0:
            raise SystemExit("codex failed on the host")

    def ours() -> None:
        if made.start().wait() != 0:
            raise SystemExit("the run over SSH failed")

    compare("ssh", rounds, {"ssh codex exec": bare, "the supervisor": lambda: asyncio.run(follow())}, SUPERVISOR)
    compare("ssh", rounds, {"ssh codex exec": bare, "codex-runner run": ours}, RUN)


def latency(made: Bench, codex: str) -> None:
    """From codex's write on the host to the record that a program reads here: redacted, parsed, in the journal."""
    script = made.scratch / "ticker.py"
    script.write_text(TICKER)
    made.fake(codex, f"exec {sys.executable} {script}")
    late = []
    with made.start("--log-format", "json", stderr=subprocess.PIPE) as running:
        for line in running.stderr or ():
            text = json.loads(line)["event"].get("item", {}).get("text", "") if line.startswith(b"{") else ""
            if text.startswith("at "):
                late.append((time.time() - float(text.removeprefix("at "))) * 1000)
    if len(late) != LINES:
        raise SystemExit(f"{len(late)} of {LINES} lines came")
    *_, high = statistics.quantiles(late, n=20)
    verdict = "within the goal" if high < LATENCY else "ABOVE THE GOAL"
    print(
        f"ssh      a line is seen after {statistics.median(late):.1f} ms (median), {high:.1f} ms (95 of 100), "
        f"{max(late):.1f} ms (worst of {LINES})   ({verdict}: {LATENCY:g} ms)"
    )


def throughput(made: Bench, codex: str) -> None:
    """Megabytes of events through all of it; the memory must not grow with them (report.html has at most 6 MB)."""
    for megabytes in SIZES:
        data = made.scratch / "events"
        begin, end = ("".join(f"{line}\n" for line in lines).encode() for lines in (BEGIN, END))
        data.write_bytes(begin + stream(megabytes * 1_000_000) + end)
        made.fake(codex, f"exec cat {data}")
        began = time.perf_counter()
        done = made.measured()
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise SystemExit(f"the run with {megabytes} MB ended with {done.returncode}")
        peak = int(done.stdout) / 1024
        print(f"ssh      {megabytes:3} MB of events in {seconds:5.1f} s, peak memory {peak:.0f} MB")
