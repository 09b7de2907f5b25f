"""Paired measurements: each round runs both sides, in turn first, and the median of the rounds' ratios is what counts.

run     a whole `codex-runner run` of a minimal job against a bare `codex exec` of the same prompt with its default
        settings and a fresh CODEX_HOME, as CI has; both with an access token
start   `codex-runner --version` and `--help` against python alone
ssh     the same over a real sshd, and the supervisor alone, against a bare `ssh HOST codex exec`; how soon a line is
        seen; what 100 MB take
waiting what a run takes that only waits, here and over SSH
redact  how much of a pipeline's processor time redaction takes, over 100 MB; at most three rounds
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w
from bench_redact import bench_redact
from bench_ssh import bench_ssh
from bench_waiting import bench_waiting

from codex_runner.demo.model import ModelService

if TYPE_CHECKING:
    from collections.abc import Callable

RUNNER = str(Path(sys.executable).with_name("codex-runner"))
GOAL = 1.25  # for a whole run here
# Not below /tmp: codex warns of homes there, and gives them no helper programs.
BUILD = Path(__file__).parents[1] / "build"


def codex_binary() -> str:
    spec = importlib.util.find_spec("codex_cli_bin")
    return os.environ.get("CODEX") or str(Path(spec.origin).with_name("bin") / "codex")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(name: str, rounds: int, sides: dict[str, Callable[[], object]], goal: float | None = None) -> None:
    """Print the medians of both sides and of their ratio. `goal` is the most that the ratio should be."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides.values():  # once for nothing: caches
        side()
    for number in range(rounds):
        order = list(sides) if number % 2 else list(reversed(sides))
        for side in order:
            times[side].append(timed(sides[side]))
    (first, base), (second, ours) = ((side, statistics.median(each)) for side, each in times.items())
    # Of pairs: what slows the machine down for a while slows both of one.
    ratio = statistics.median(own / other for other, own in zip(*times.values(), strict=True))
    verdict = "" if goal is None else f"   ({'within the goal' if ratio <= goal else 'ABOVE THE GOAL'}: {goal:.2f})"
    print(f"{name:8} {second} {ours * 1000:7.0f} ms   {first} {base * 1000:7.0f} ms   ratio {ratio:.2f}{verdict}")


def bench_run(rounds: int) -> None:
    BUILD.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
    token = "at-bench-0123456789abcdef"
    codex = codex_binary()
    try:
        with ModelService("hi", bearers={token}) as service:
            setup = service.with_access_token(token)
            workspace = scratch / "workspace"
            workspace.mkdir()
            subprocess.run(["git", "init", "-q", str(workspace)], check=True)
            environ = {
                "PATH": os.environ["PATH"],
                "HOME": str(scratch),
                "XDG_STATE_HOME": str(scratch / "state"),
                **setup.environment,
            }
            home = scratch / "home"

            def bare() -> None:
                shutil.rmtree(home, ignore_errors=True)
                home.mkdir()
                (home / "config.toml").write_text(tomli_w.dumps({"model": "gpt-5.5", **setup.config}))
                subprocess.run(
                    [codex, "exec", "--json", "-C", str(workspace), "say hi"],
                    env={**environ, "CODEX_HOME": str(home)},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=True,
                )

            others = {k: v for k, v in setup.environment.items() if k != "CODEX_ACCESS_TOKEN"}
            settings = {
                "version": 1,
                "codex": {"path": codex, "model": "gpt-5.5", "config": setup.config, "env": others},
                "jobs": {
                    "hi": {
                        "prompt": "say hi",
                        "cwd": str(workspace),
                        "credential": {"source": "env", "allow_unexpiring": True},
                    }
                },
            }
            (scratch / "codex-runner.toml").write_text(tomli_w.dumps(settings))

            def ours() -> None:
                subprocess.run([RUNNER, "run", "hi"], cwd=scratch, env=environ, capture_output=True, check=True)

            compare("run", rounds, {"codex exec": bare, "codex-runner run": ours}, GOAL)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def bench_start(rounds: int) -> None:
    def run(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run(command, capture_output=True, check=True)

    alone = run(sys.executable, "-c", "pass")
    compare("start", rounds, {"python": alone, "codex-runner --version": run(RUNNER, "--version")})
    compare("start", rounds, {"python": alone, "codex-runner --help   ": run(RUNNER, "--help")})


BENCHES = {
    "run": bench_run,
    "start": bench_start,
    "ssh": lambda rounds: bench_ssh(rounds, codex_binary(), BUILD, compare),
    "waiting": lambda _rounds: bench_waiting(BUILD),
    "redact": lambda rounds: bench_redact(min(rounds, 3)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *BENCHES])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for what in options.what or BENCHES:
        BENCHES[what](options.rounds)


if __name__ == "__main__":
    main()
