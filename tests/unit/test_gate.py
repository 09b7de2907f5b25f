"""The gate before the agent, against a host in memory: each answer of its command, each doubt, and what is kept."""

import json

import pytest
from support.gate_host import COMMAND, COMMIT, FILES, Host
from support.trial import KEY, Trial

from codex_runner.app.green_runs import FolderGreenRuns
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import ForgeKind
from codex_runner.domain.delivery_spec import DeliverySpec, GateSpec
from codex_runner.domain.errors import (
    ConfigurationError,
    CredentialError,
    FolderGoneError,
    HostError,
    LeakError,
    UnreachableError,
)
from codex_runner.domain.gate import GreenRun, UnknownGreenRunError
from codex_runner.domain.job import Job, Limits
from codex_runner.domain.policy import Budget
from codex_runner.domain.secret import Secret
from codex_runner.engine.gate import PATIENCE
from codex_runner.engine.gate_files import compared, files_digest, folders_of, job_digest
from codex_runner.reports.writer import FileReports


class Refusing:
    """Lends no credential: a skipped run never asks for one."""

    def __init__(self, trusted=True):
        self.trusted, self.asked = trusted, 0

    def require_trust(self, job, tell):
        if not self.trusted:
            raise CredentialError("a stranger started this")

    async def borrow(self, job, **_):
        self.asked += 1
        raise CredentialError("there is none")


@pytest.fixture
def gated(tmp_path):
    """Make the next night's run of a job with this gate. All share one machine."""
    made = 0

    def make(**gate):
        nonlocal made
        made += 1
        trial = Trial(tmp_path / f"night-{made}", gate=GateSpec(**gate))
        trial.adapters["green_runs"] = FolderGreenRuns(tmp_path / "gates")
        return trial

    return make


def decided(trial):
    (event,) = [event for event in trial.events if isinstance(event, ev.Gated)]
    return event


# The command


def test_78_skips_the_run_and_borrows_nothing(gated):
    trial, host = gated(command=COMMAND), Host((78, b"nothing new\n"))
    trial.credentials = Refusing()
    state = trial.run(host)
    assert (state.verdict.exit_code, state.verdict.result) == (0, "skipped")
    assert state.verdict.reason == "the gate skips this run: its command exited with 78"
    assert (trial.credentials.asked, host.started, host.patience) == (0, False, PATIENCE)
    assert decided(trial) == ev.Gated("skip", "its command exited with 78", 78, 0.5, "nothing new\n")
    document = json.loads(trial.folder.run_json.read_bytes())
    assert document["gate"]["decision"] == "skip"
    assert trial.sinks[0].closed


def test_0_goes_on(gated):
    trial, host = gated(command=COMMAND), Host()
    assert trial.run(host).verdict.result == "succeeded"
    assert host.started
    assert decided(trial).decision == "go"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((1, b"boom\n"), "exited with 1"),
        ((77, b""), "exited with 77"),
        ((None, b""), "did not end within 1m"),
        ((137, b""), "was ended by signal 9"),
        ((78 + 128, b""), "was ended by signal 78"),
        ((78, b"codex-runner: processes that this command left behind could not be ended: sleep.\n"), "left processes"),
        ((0, b"codex-runner: processes that this command left behind could not be ended: sleep.\n"), "left processes"),
    ],
)
def test_anything_else_fails_the_run(gated, command, why):
    trial, host = gated(command=COMMAND, unless_changed=("src/**",)), Host(command)
    trial.credentials = Refusing()
    state = trial.run(host)
    assert (state.verdict.exit_code, state.verdict.result) == (1, "failed")
    assert state.verdict.reason.startswith("gate failed: its command")
    assert why in state.verdict.reason
    assert "78" in state.verdict.remedy
    assert (trial.credentials.asked, host.started, decided(trial).decision) == (0, False, "fail")


@pytest.mark.parametrize(("code", "remedy"), [(126, "chmod +x"), (127, "Correct the program's name in `gate.command`")])
def test_a_command_that_sh_cannot_run_is_told_as_such(gated, code, remedy):
    assert remedy in gated(command=COMMAND).run(Host((code, b"sh: 1: x: not found\n"))).verdict.remedy


def test_a_folder_that_is_gone_and_a_host_that_is_lost_are_told_as_such(gated):
    trial, host = gated(command=COMMAND), Host()
    host.fails["execute"] = FolderGoneError("cwd: /x does not exist.")
    assert trial.run(host).verdict.exit_code == 1
    trial, host = gated(command=COMMAND), Host()
    host.fails["execute"] = UnreachableError("devbox is out of reach.")
    assert trial.run(host).verdict.exit_code == 6


def test_the_output_is_redacted_and_bounded(gated):
    secret = KEY.reveal().encode()
    trial = gated(command=COMMAND)
    trial.run(Host((3, b"x" * 200_000 + b"\nthe key is " + secret + b"\n")))
    assert "***KEY***" in decided(trial).output
    assert len(decided(trial).output) <= 64 * 1024
    for path in trial.folder.path.iterdir():
        assert secret not in path.read_bytes(), path


def test_a_pipeline_that_a_stranger_started_is_refused_and_not_skipped(gated):
    trial, host = gated(command=COMMAND), Host((78, b""))
    trial.credentials = Refusing(trusted=False)
    assert trial.run(host).verdict.exit_code == 4
    assert ("execute", COMMAND) not in host.asked


def test_what_is_left_behind_is_told(gated):
    trial = gated(command=COMMAND)
    said = b"codex-runner: 1 process that this command left behind was ended: sleep.\n"
    assert trial.run(Host((0, said))).verdict.result == "succeeded"
    assert "sleep" in next(each.message for each in trial.events if isinstance(each, ev.Warned))


# The files


def test_a_green_run_is_remembered_until_a_file_changes(gated):
    gate = {"unless_changed": ("src/**",)}
    assert gated(**gate).run(Host()).verdict.result == "succeeded"
    for other in (Host(), Host(commit="b" * 40), Host(files=FILES | {"docs/b.md": "100644 blob " + "3" * 40})):
        state = gated(**gate).run(other)
        assert state.verdict.result == "skipped"
        assert "nothing under `src/**` has changed since the last green run" in state.verdict.reason
        assert not other.started
    changed = [
        {"src/a.py": "100755 blob " + "1" * 40},
        {"src/a.py": "100644 blob " + "3" * 40},
        {"src/b.py": "100644 blob " + "1" * 40},
        {"src/a.py": None},
    ]
    for change in changed:
        files = {path: entry for path, entry in (FILES | change).items() if entry}
        files.setdefault("src/c.py", "100644 blob " + "4" * 40)
        trial = gated(**gate)
        trial.credentials = Refusing()
        assert trial.run(Host(files=files)).verdict.exit_code == 4, change
        assert "have changed since" in decided(trial).reason


@pytest.mark.parametrize("gate", [{"unless_changed": ("src/**",)}, {"unless_changed": ("src/**",), "command": COMMAND}])
def test_a_red_run_moves_nothing(gated, gate):
    gated(**gate).run(Host())
    red = gated(**gate)
    changed = Host(files=FILES | {"src/a.py": "100644 blob " + "3" * 40})
    red.credentials = Refusing()
    assert red.run(changed).verdict.exit_code == 4
    assert gated(**gate).run(changed).verdict.result == "succeeded"
    assert gated(**gate).run(Host(files=changed.files)).verdict.result == "skipped"


def test_a_run_that_loses_its_good_verdict_moves_nothing(gated, monkeypatch):
    gate = {"unless_changed": ("src/**",)}
    trial = gated(**gate)

    class Full(FileReports):
        def write(self, state):
            raise LeakError("a report holds a secret")

    monkeypatch.setattr("support.trial.FileReports", Full)
    assert trial.run(Host()).verdict.exit_code == 12
    monkeypatch.undo()
    assert gated(**gate).run(Host()).verdict.result == "succeeded"


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (lambda: Host(commit=""), "HEAD names no commit"),
        (lambda: Host(cut=5), "bad tree"),
        (lambda: Host(cut=2), "bad tree"),
        (lambda: Host(files={"docs/a.md": FILES["docs/a.md"]}), "matches no file"),
        (lambda: Host(files={}), "matches no file"),
    ],
)
def test_what_cannot_be_told_runs_the_job_and_says_why(gated, host, why):
    gate = {"unless_changed": ("src/**",)}
    for _ in range(2):
        trial = gated(**gate)
        assert trial.run(host()).verdict.result == "succeeded"
        assert "cannot tell" in decided(trial).reason
        (warning,) = [each for each in trial.events if isinstance(each, ev.Warned)]
        assert why in warning.message
        assert b"pass-w0rd" not in trial.folder.events.read_bytes()


def test_a_record_that_is_damaged_runs_the_job(gated, tmp_path):
    gate = {"unless_changed": ("src/**",)}
    gated(**gate).run(Host())
    (record,) = (tmp_path / "gates").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert b"pass-w0rd" not in record.read_bytes()
    whole = record.read_bytes()
    for damaged in (b"", whole[:-5], b"[]", b'{"run": 1}', b"\xff", b"[" * 100_000):
        record.write_bytes(damaged)
        trial = gated(**gate)
        trial.credentials = Refusing()
        assert trial.run(Host()).verdict.exit_code == 4
        assert "cannot tell" in decided(trial).reason
    record.write_bytes(whole)
    assert gated(**gate).run(Host()).verdict.result == "skipped"


def test_a_glob_that_matches_nothing_is_told(gated):
    gate = {"unless_changed": ("src/**", "scr/**")}
    gated(**gate).run(Host())
    trial = gated(**gate)
    assert trial.run(Host()).verdict.result == "skipped"
    (warning,) = [each.message for each in trial.events if isinstance(each, ev.Warned)]
    assert "`scr/**`. Correct or remove" in warning
    assert "(`scr/**`) matches no file of the commit" in gone(gated)


def gone(gated):
    """What a gate says whose globs match nothing at all."""
    trial = gated(unless_changed=("scr/**",))
    trial.run(Host())
    return next(each.message for each in trial.events if isinstance(each, ev.Warned))


def test_no_gate_goes_on_and_is_remembered(gated):
    gate = {"unless_changed": ("src/**",), "command": COMMAND}
    host = Host((78, b""))
    assert gated(**gate, ignored=True).run(host).verdict.result == "succeeded"
    assert ("execute", COMMAND) not in host.asked
    assert gated(**gate, ignored=True).run(Host()).verdict.result == "succeeded"
    assert gated(**gate).run(Host()).verdict.result == "skipped"


def test_a_run_that_is_attached_to_is_remembered(gated, tmp_path):
    gate = {"unless_changed": ("src/**",)}
    trial = gated(**gate)

    class Lost(Host):
        async def follow(self, run_id, attempt, position):
            raise UnreachableError("devbox is out of reach.")
            yield

    assert trial.run(Lost()).verdict.exit_code == 6
    assert list((tmp_path / "gates").iterdir()) == []
    host = Host()
    host._present.add(("20260102T030405Z-docs-0a1b2c3d", 1))
    assert trial.run(host, attach=True).verdict.result == "succeeded"
    assert gated(**gate).run(Host()).verdict.result == "skipped"


def test_a_green_run_with_uncommitted_changes_takes_back_the_record_of_an_older_one(gated):
    """The older record was of the same commit, and skipped the next run although the log said that it goes on."""
    gate = {"unless_changed": ("src/**",)}
    gated(**gate).run(Host())
    dirty = gated(**gate, ignored=True)
    assert dirty.run(Host(dirty=True)).verdict.result == "succeeded"
    assert "The next run goes on" in next(each.message for each in dirty.events if isinstance(each, ev.Warned))
    trial = gated(**gate)
    assert trial.run(Host()).verdict.result == "succeeded"
    assert "uncommitted changes" in decided(trial).reason
    assert gated(**gate).run(Host()).verdict.result == "skipped"


def test_a_tree_of_which_nothing_is_known_is_not_remembered(gated):
    gate = {"unless_changed": ("src/**",)}
    host = Host()
    host.fails["snapshot"] = HostError("git cannot read the workspace.")
    assert gated(**gate).run(host).verdict.result == "succeeded"
    assert gated(**gate).run(Host()).verdict.result == "succeeded"


def test_attaching_to_a_run_that_is_over_moves_no_record(gated, tmp_path):
    """It put an old run in place of the newer one, and of a red run for a moment."""
    gate = {"unless_changed": ("src/**",)}
    old = gated(**gate)
    old.run(Host())
    changed = FILES | {"src/a.py": "100644 blob " + "3" * 40}
    gated(**gate).run(Host(files=changed))
    (record,) = (tmp_path / "gates").iterdir()
    newest = record.read_bytes()
    assert old.run(Host(), attach=True).verdict.result == "succeeded"
    assert record.read_bytes() == newest
    assert gated(**gate).run(Host(files=changed)).verdict.result == "skipped"


def test_attaching_to_a_run_that_its_gate_was_about_to_skip_ends_it_as_skipped(gated):
    trial = gated(command=COMMAND)
    trial.run(Host((78, b"")))
    lines = trial.folder.events.read_bytes().splitlines(keepends=True)
    at = next(number for number, record in enumerate(trial.records, 1) if isinstance(record.event, ev.Gated))
    trial.folder.events.write_bytes(b"".join(lines[:at]))  # the runner was killed here
    host = Host()
    verdict = trial.run(host, attach=True).verdict
    assert (verdict.exit_code, verdict.result) == (0, "skipped")
    assert verdict.reason == "the gate skips this run: its command exited with 78"
    assert not host.started


def test_a_journal_that_fails_while_a_run_is_remembered_ends_it_red_with_its_reports(gated):
    """The program ended with the error, and the run without a verdict."""
    trial = gated(unless_changed=("src/**",))

    class Full:
        def __init__(self, journal):
            self.journal = journal
            self.copy, self.close = journal.copy, journal.close

        def append(self, record):
            if isinstance(record.event, ev.Warned) and record.event.code == "gate":
                raise ConfigurationError("events.jsonl cannot be written.")
            self.journal.append(record)

    trial.journal_of = Full
    verdict = trial.run(Host(dirty=True)).verdict
    assert (verdict.exit_code, verdict.result) == (3, "failed")
    assert "cannot be written" in verdict.reason
    assert json.loads(trial.folder.run_json.read_bytes())["exit_code"] == 3


# What a run begins with


def digest(**changes):
    values = {"name": "x", "prompt": "do it", "cwd": "/a", "gate": GateSpec(("src/**",)), **changes}
    return job_digest(Job(**values), "sub", lambda text: text.replace("hunter2", "***"))


def test_what_the_agent_is_asked_is_in_the_digest_and_nothing_else():
    same = digest()
    assert same == digest(cwd="/b", limits=Limits(timeout=5), budget=Budget(tokens=3))
    assert same == digest(gate=GateSpec(("src/**",), ignored=True))
    others = [
        digest(prompt="do more"),
        digest(gate=GateSpec(("src/*",))),
        digest(gate=GateSpec(("src/**",), command="true")),
        digest(sandbox="workspace-write"),
        digest(output_schema="{}"),
        digest(host="devbox"),
        job_digest(Job(name="x", prompt="do it", cwd="/a", gate=GateSpec(("src/**",))), "", str),
    ]
    assert len({same, *others}) == len(others) + 1
    assert digest(prompt="hunter2") == digest(prompt="***"), "a digest tells nothing of a secret"


def test_where_a_delivery_goes_is_in_the_digest_and_nothing_else_of_it():
    """A record from before the job had a delivery, or another one, hid that nothing had arrived there."""
    same = digest(delivery=DeliverySpec())
    assert same == digest(delivery=DeliverySpec(draft=False, labels=("docs",), retention=5.0, names={"V": "1"}))
    others = [
        digest(),
        *(digest(delivery=DeliverySpec(**{key: "x/y"})) for key in ("repository", "api", "base", "branch")),
        digest(delivery=DeliverySpec(target=ForgeKind.GIT)),
        *(digest(delivery=DeliverySpec(branch="x/{{V}}", names={"V": each})) for each in "12"),
    ]
    assert len({same, *others}) == len(others) + 1


def test_secrets_of_codex_are_names_only():
    codex = Job(name="x", prompt="p", cwd="/").codex
    with_one = [
        digest(codex=type(codex)(environment={"KEY": Secret("KEY", value)})) for value in ("one-secret", "another-one")
    ]
    assert with_one[0] == with_one[1] != digest()


def test_odd_names_count():
    odd = {"src/\udcff\n\t'": "100644 blob 1", "src/ä": "100644 blob 2", "src/end": "100644 blob 3"}
    first, spare = files_digest(["src/**"], odd)
    assert (spare, bool(first)) == ([], True)
    for path in odd:
        assert files_digest(["src/**"], {key: entry for key, entry in odd.items() if key != path})[0] != first
    # Two files whose names and entries run into each other are not one.
    one = files_digest(["**"], {"a": "1 b 2", "c": "3 d 4"})
    assert one != files_digest(["**"], {"a\n3 d 4\tc": "1 b 2"})


@pytest.mark.parametrize(
    ("globs", "folders"),
    [
        (["src/**"], ["src"]),
        (["/src/a.py", "docs/*/x", "a//b/[c]"], ["src/a.py", "docs", "a/b"]),
        (["src/**", "*.md"], []),
        (["**/x"], []),
        (["a\\b/c", "d"], []),
        ([":(top)x/**"], [":(top)x"]),
    ],
)
def test_only_the_folders_that_matter_are_listed(globs, folders):
    assert folders_of(globs) == folders


def test_a_last_run_without_digests_is_like_no_other():
    now = GreenRun("r2", COMMIT, "f", "j")
    assert compared(GreenRun("r1", COMMIT, "f", "j"), now, ["a"])[0]
    for last in (
        None,
        GreenRun("r1", COMMIT, "", ""),
        GreenRun("r1", COMMIT, "f", ""),
        GreenRun("r1", COMMIT, "", "j"),
    ):
        assert not compared(last, now, ["a"])[0]


def test_keys_tell_jobs_and_repositories_apart_and_no_tokens(tmp_path):
    runs = FolderGreenRuns(tmp_path)
    keys = {
        runs.key(*place)
        for place in (("a", "/x", ""), ("b", "/x", ""), ("a", "/y", ""), ("a", "/x", "sub"), ("a", "https://h/x", ""))
    }
    assert len(keys) == 5
    assert runs.key("a", "https://ci:one@h/x", "") == runs.key("a", "https://h/x", "")
    (tmp_path / "k.json").mkdir()
    with pytest.raises(UnknownGreenRunError):
        runs.read("k")
