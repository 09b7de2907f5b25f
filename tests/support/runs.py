"""A scratch project whose jobs the installed command line runs, and everything that a run may leave."""

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import tomli_w

from codex_runner.codex.events import parse
from codex_runner.domain.event import to_json
from support import warm

RUN_JSON = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "run.schema.json").read_text())
)
RUNNER = Path(sys.executable).with_name("codex-runner")
KEY_NAME = "SCRIPTED_MODEL_KEY"
JOB = "docs"

# Seconds. A first line of defence against a hang, far above what any of these runs takes on a machine that is busy.
PATIENCE = 300.0


def tree(folder):
    """Every file below a folder, with its bytes. What goes while this looks is left out."""
    found = {}
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    found[path] = path.read_bytes()
    return dict(sorted(found.items()))


def processes_with(*texts):
    """Pids, and command lines, of the processes whose environment or command line holds a text; zombies left out."""
    found, needles = {}, [text.encode() for text in texts]
    for name in (entry.name for entry in Path("/proc").glob("[0-9]*")):
        try:
            command = _content(f"/proc/{name}/cmdline")
            everything = _content(f"/proc/{name}/environ") + command
            if not any(needle in everything for needle in needles):
                continue
            state = _content(f"/proc/{name}/stat").rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state not in {b"Z", b"X"} and int(name) != os.getpid():
            found[int(name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    return found


def _content(path):
    # Hundreds of these are read at each look: pathlib and io take three times as long.
    file = os.open(path, os.O_RDONLY)
    try:
        content = b""
        while piece := os.read(file, 65536):
            content += piece
        return content
    finally:
        os.close(file)


def wait_for(what, seconds=PATIENCE):
    """Return the first true value of `what()`. A look that takes long is taken less often, but ten times a second."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if value := what():
            return value
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(min(max(0.01, 4 * (time.monotonic() - began)), 0.1))


@dataclass
class Left:
    """A run's folder, read without any other knowledge of the run."""

    path: Path

    @property
    def run_id(self):
        return self.path.name

    @property
    def records(self):
        """The records of events.jsonl, after a look at what each of them must have."""
        lines = (self.path / "events.jsonl").read_bytes().split(b"\n")
        assert lines.pop() == b"", "events.jsonl ends in the middle of a line"
        records = [json.loads(line) for line in lines]
        assert [record["seq"] for record in records] == list(range(1, len(records) + 1)), "a gap, or a double"
        assert all(record["schema"] == 1 for record in records)
        times = [record["time"] for record in records]
        assert times == sorted(times)
        return records

    @property
    def events(self):
        return [record["event"] for record in self.records]

    def of_kind(self, kind):
        return [event for event in self.events if event["kind"] == kind]

    @property
    def from_codex(self):
        """What codex said, without what the runner noticed. Ids and times of their own are left as they are."""
        kinds = {"thread.started", "turn.started", "turn.completed", "turn.failed", "error", "other", "unparsed"}
        return [event for event in self.events if event["kind"] in kinds or event["kind"].startswith("item.")]

    @property
    def codex(self):
        return (self.path / "codex.jsonl").read_bytes()

    @property
    def run_json(self):
        return json.loads((self.path / "run.json").read_bytes())

    @property
    def junit(self):
        return ET.parse(self.path / "junit.xml").getroot()

    @property
    def cases(self):
        """Each JUnit case by name, and what went wrong in it: None, `failure`, `error` or `skipped`."""
        cases = {}
        for case in self.junit.iter("testcase"):
            marks = [each.tag for each in case if each.tag in {"failure", "error", "skipped"}]
            assert case.get("name") not in cases, "two cases of one name"
            cases[case.get("name")] = marks[0] if marks else None
        return cases

    @property
    def warnings(self):
        return {warning["code"]: warning["message"] for warning in self.run_json["warnings"]}

    def guard(self, name):
        return next(guard for guard in self.run_json["guards"] if guard["name"] == name)


@dataclass
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    runs: list[Left]

    @property
    def run(self):
        """The only run that there is."""
        assert len(self.runs) == 1, f"{len(self.runs)} runs; {self.stderr[-3000:]}"
        return self.runs[0]


@dataclass
class Witness:
    """Holds the host's file of codex's stdout open once it appears: what codex printed outlives the run."""

    runs: Path
    _files: dict[str, object] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self):
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._over.wait(0.01):
            with contextlib.suppress(OSError):  # what goes away while it is looked at
                for path in self.runs.glob("*/attempts/[0-9]*/stdout"):
                    if path.parts[-4] not in self._files:
                        self._files[path.parts[-4]] = path.open("rb")

    def printed(self, run_id):
        """Everything that codex printed in this run."""
        file = self._files[run_id]
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)

    def close(self):
        self._over.set()
        self._thread.join()
        for file in self._files.values():
            file.close()


class Running:
    """A command that still runs. Its output goes into files, so that nothing waits for a reader."""

    def __init__(self, project, args, *, stdin=None):
        self.project = project
        self._out = project.scratch / f"stdout-{secrets.token_hex(4)}"
        self._err = self._out.with_name(self._out.name.replace("stdout", "stderr"))
        self._began = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = warm.start(
                [*project.prefix, RUNNER, *map(str, args)],
                cold=project.is_cold or project.prefix,
                cwd=project.cwd,
                env=project.environ,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        if stdin is not None:
            self.process.stdin.write(stdin)
            self.process.stdin.close()

    @property
    def log(self):
        return self._err.read_text(errors="replace")

    def until(self, what, seconds=PATIENCE):
        """Return the first true value of `what()`, and fail at once if the command ends before there is one."""

        def alive():
            value = what()
            assert value or self.process.poll() is None, self.log[-3000:]
            return value

        return wait_for(alive, seconds)

    def until_command(self, text):
        """Wait until the agent runs a command whose line holds `text`."""
        self.until(lambda: any(text in command for command in self.project.processes.values()))

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """End it as the machine's OOM killer would."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds=PATIENCE):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it still ran after {seconds} s:\n{self.log[-3000:]}") from None
        done = Done(code, self._out.read_text(), self.log, time.monotonic() - self._began, self.project.runs)
        self.project.said += self._out.read_bytes() + self._err.read_bytes()
        return done


class Project:
    """A project with one job, in a home of its own.

    Everything lies in two folders of the test's: `scratch` and `state`. `state` will hold CODEX_HOME, which codex does
    not accept under /tmp. Both names are in the environment of each process, those of the agent's commands included
    (HOME). So `processes` finds all that are left. `prefix` is the beginning of every command line.

    `grace` is how many seconds processes may outlive the runner: those of a host over SSH end with its connection.
    """

    grace = 0.0
    is_cold = False  # see support/warm.py

    def __init__(self, scratch, state, codex, service):
        self.scratch, self.state, self.service = scratch, state, service
        self.cwd = scratch / "project"
        self.home = scratch / "home"
        self.out = self.cwd / "codex-runner-out"
        self.cwd.mkdir()
        self.home.mkdir()
        self.key = f"key-{secrets.token_hex(16)}"
        self.said = b""
        self.prefix = []
        self.environ = {
            "PATH": f"{RUNNER.parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(state),
            f"CODEX_RUNNER_CODEX__ENV__{KEY_NAME}": self.key,
            **{name: os.environ[name] for name in os.environ if name.startswith(("PYTHON", "COVERAGE_"))},
        }
        self.codex = {"path": str(codex)}
        if service is not None:
            service.accept({self.key})
            self.codex["config"] = service.with_provider_key(self.key, env_key=KEY_NAME).config
        self.configure()
        self.witness = Witness(self.runs_folder)

    @property
    def runs_folder(self):
        return self.state / "codex-runner" / "runs"

    @property
    def runs(self):
        return [Left(path) for path in sorted(self.out.glob("*Z-*"))]

    @property
    def last(self):
        """The newest of several runs, of which some may have begun in one second."""
        return max(self.runs, key=lambda run: (run.path / "events.jsonl").stat().st_mtime_ns)

    @property
    def recorded(self):
        """What the first run's events.jsonl holds by now, empty if there is none yet."""
        for run in self.runs:
            if (run.path / "events.jsonl").exists():
                return (run.path / "events.jsonl").read_bytes()
        return b""

    def configure(self, *, codex=None, prices=None, **job):
        """Write codex-runner.toml anew: one job with these keys."""
        job.setdefault("prompt", "SCN:hi")
        job.setdefault("retry", {"attempts": 1})
        if job.get("sandbox") == "danger-full-access":
            job.setdefault("i_understand", True)
        job.setdefault("budget", {"tokens": 10**9})
        settings = {"version": 1, "codex": {**self.codex, **(codex or {})}, "jobs": {JOB: job}}
        settings |= {"prices": prices} if prices else {}
        (self.cwd / "codex-runner.toml").write_text(tomli_w.dumps(settings))

    def git_init(self):
        """Make the project a git repository, with all that is in it committed."""
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        for command in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "first")):
            subprocess.run(
                ["git", *command], cwd=self.cwd, check=True, env={**self.environ, "GIT_CONFIG_NOSYSTEM": "1"}
            )

    def fake_codex(self, body, **job):
        """Put a script in codex's place, which answers what it is asked beforehand and then does `body`."""
        fake = self.scratch / "fake-codex"
        answers = "--version) echo codex-cli 0.169.0; exit;; 'features list') echo apps stable true; exit;;"
        # What a sandbox that works lets the runner's proof see.
        answers += " sandbox*) grep -q ':workspace' \"$CODEX_HOME/config.toml\" && echo wrote || echo kept-out; "
        answers += "echo denied; exit;;"
        fake.write_text(f"#!/bin/sh\ncase $* in {answers} esac\ncat >/dev/null\n{body}\n")
        fake.chmod(0o755)
        self.configure(codex={"path": str(fake)}, **job)

    def start(self, *args, stdin=None):
        return Running(self, args, stdin=stdin)

    def command(self, *args, stdin=None):
        """Run any command to its end."""
        return self.start(*args, stdin=stdin).wait()

    def run(self, *args, stdin=None):
        """Run the job to its end."""
        return self.command("run", JOB, *args, stdin=stdin)

    def host_run(self):
        """The run directory on the host, once codex has been started."""
        return next(
            (path.parents[2] for path in self.runs_folder.glob("*/attempts/1/codex.pid") if path.stat().st_size), None
        )

    @property
    def processes(self):
        return processes_with(str(self.state), str(self.home))

    def check_no_mount_points(self):
        """Check that codex's sandbox has left no mount point in the folder that the job works in."""
        folder = getattr(self, "workspace", self.cwd)
        left = [name for name in (".agents", ".codex", ".aws", ".ssh", ".config") if is_empty(folder / name)]
        assert left == [], f"codex's mount points are left: {left}"

    def check_nothing_is_left(self, *, grace=None, looked=False):
        """No process (or soon none: some `grace` seconds), no run directory, and the key neither said nor written.

        `looked`: a runner may have been killed while it looked at codex, whose home for that goes with a later run.
        """
        left, grace = self.processes, self.grace if grace is None else grace
        if left and grace:
            wait_for(lambda: not self.processes, 10 * grace)  # this machine may be busy
        else:
            assert left == {}, f"processes are left: {left}"
        folders = [*self.runs_folder.glob("[!.]*"), *self.runs_folder.glob(".scratch/*")]
        folders = [folder for folder in folders if not (looked and folder.name.startswith("codex."))]
        assert folders == [], f"run directories are left: {folders}"
        self.check_no_mount_points()
        self.check_no_secret()

    def check_no_secret(self):
        raw = self.key.encode()
        needles = [raw, raw.hex().encode(), base64.b64encode(raw)[:-3]]
        haystacks = {"what was said": self.said, **tree(self.scratch), **tree(self.state)}
        for name, data in haystacks.items():
            for needle in needles:
                assert needle not in data, f"the key is in {name}"

    def check_reports(self, done, code):
        """All reports are there, they can be read, and they all tell the same."""
        run = done.run
        assert done.code == code, done.stderr[-3000:]
        document = run.run_json
        RUN_JSON.validate(document)
        assert document["exit_code"] == code
        assert document["result"] == ("succeeded" if code == 0 else "failed")
        assert document["run_id"] == run.run_id
        verdict = run.events[-1]
        assert (verdict["kind"], verdict["exit_code"]) == ("run.ended", code)
        assert (verdict["reason"], verdict["result"]) == (document["reason"], document["result"])
        assert (run.path / "summary.md").stat().st_size
        red = [name for name, mark in run.cases.items() if mark in {"failure", "error"}]
        assert bool(red) == (code != 0), run.cases
        suites = list(run.junit.iter("testsuite"))
        for mark in ("failure", "error"):
            counted = sum(int(suite.get(f"{mark}s", "0")) for suite in suites)
            assert counted == sum(each == mark for each in run.cases.values())
        assert (run.path.stat().st_mode & 0o777, (run.path / "events.jsonl").stat().st_mode & 0o777) == (0o700, 0o600)
        return run

    def check_undisturbed(self, run, warnings=frozenset({"codex", "credential-source"})):
        """What an undisturbed run would have left: all that codex printed, once, in order; of warnings only these."""
        printed = self.witness.printed(run.run_id)
        assert run.codex == printed
        assert run.from_codex == [to_json(parse(line)) for line in printed.splitlines()]
        for kind in ("run.started", "run.prepared", "attempt.ended", "run.ended"):
            assert len(run.of_kind(kind)) == 1
        assert run.guard("process sweep")["passed"]
        assert set(run.warnings) <= warnings

    def close(self):
        """End all processes that a failed test has left."""
        self.witness.close()
        for pid in self.processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def is_empty(path):
    """Whether there is a folder or file of nothing, as codex's sandbox makes them to mount something there."""
    if path.is_symlink() or not path.exists():
        return False
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0
