"""The rules of a delivery as a run applies them: what git saw, judged before the checks, exit code 12."""

import asyncio

import pytest
from support.tree import RUN, Workspace

from codex_runner.domain.change import ChangeKind
from codex_runner.domain.delivery_spec import DeliverySpec
from codex_runner.domain.event import Changed, CheckEnded
from codex_runner.domain.exit_code import ExitCode
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.job import RULES, Job, Sandbox
from codex_runner.domain.policy import PathRules
from codex_runner.domain.state import RunState
from codex_runner.engine.checks import names
from codex_runner.engine.recorder import Recorder
from codex_runner.engine.workspace import compare, needs_git, note
from codex_runner.git.diff_reader import GitAnswer
from codex_runner.redaction.redactor import Redactor
from codex_runner.sinks.jsonl import FileJournal
from codex_runner.transports.local import LocalTransport


@pytest.fixture
def work(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture
def judged(work, tmp_path):
    """Let `deed` change the tree; return what the run says of it."""

    def judged(deed, delivery, **rules):
        job = Job(
            "docs",
            "p",
            str(work.top),
            sandbox=Sandbox.WORKSPACE_WRITE,
            rules=PathRules(**rules),
            delivery=DeliverySpec() if delivery else None,
        )
        assert needs_git(job) == bool(delivery or rules)
        assert (RULES in names(job)) == bool(delivery or rules)
        journal = FileJournal.create(RunFolder(tmp_path / RUN))
        recorder, host = Recorder(RunState(), journal, [], Redactor()), LocalTransport(work.environ)

        async def run():
            noted = await note(job, RUN, host, recorder)
            deed()
            await compare(job, noted, host, recorder)

        try:
            asyncio.run(run())
        finally:
            journal.close()
        return recorder.state

    return judged


def evil(work):
    def deed():
        work.write(".github/workflows/ci.yml", "on: push\n")
        work.write("tool.sh", "echo\n").chmod(0o755)
        (work.top / "docs/out").symlink_to("../../secret")
        (work.top / "docs/in").symlink_to("a.md")

    return deed


def test_what_must_not_slip_in_is_exit_12(judged, work):
    state = judged(evil(work), delivery=True)
    changes, check = state.changes, state.checks[RULES]
    assert isinstance(changes, Changed)
    assert isinstance(check, CheckEnded)
    assert (check.passed, check.exit_code, changes.exit_code) == (False, 12, ExitCode.FORBIDDEN_CHANGE)
    assert [said.partition(" is ")[0] for said in changes.findings] == [
        ".github/workflows/ci.yml",
        "docs/out",
        "tool.sh",
    ]
    assert "(../../secret)" in changes.findings[1]


def test_a_line_allows_each(judged, work):
    allowed = ("**", ".github/workflows/ci.yml", "docs/out", "tool.sh")
    assert judged(evil(work), delivery=True, allowed_paths=allowed).checks[RULES].passed


def test_without_a_delivery_nothing_is_protected(judged, work):
    state = judged(evil(work), delivery=False)
    assert (state.changes.findings, state.checks) == ((), {})


def test_modes_and_the_text_of_links(work):
    work.write("run.sh", "echo\n")
    (work.top / "old").symlink_to("README.md")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "more")
    work.snapshot()
    (work.top / "run.sh").chmod(0o755)
    (work.top / "old").unlink()
    (work.top / "old").symlink_to("docs/a.md")
    (work.top / "new\nline").symlink_to("a\nb\n")
    (work.top / "README.md").unlink()
    (work.top / "README.md").symlink_to("/etc/hosts")
    (work.top / "src/app.py").unlink()
    work.write("plain", "x")
    assert {path: (each.old_mode, each.mode, each.leads_to) for path, each in work.changed().items()} == {
        "run.sh": ("100644", "100755", None),
        "old": ("120000", "120000", "docs/a.md"),
        "new\nline": ("000000", "120000", "a\nb\n"),
        "README.md": ("100644", "120000", "/etc/hosts"),
        "src/app.py": ("100644", "000000", None),
        "plain": ("000000", "100644", None),
    }
    assert work.changed()["README.md"].kind is ChangeKind.MODIFIED


def test_a_link_that_was_moved_leads_on(work):
    (work.top / "docs/link").symlink_to("../README.md")
    work.git("add", "-A")
    work.git("commit", "-q", "-m", "more")
    work.snapshot()
    (work.top / "docs/link").rename(work.top / "link")
    assert work.changed()["link"].leads_to == "../README.md"


def test_a_link_whose_text_is_missing_is_not_known():
    one, two = b"1" * 40, b"2" * 40
    raw = b"".join(b":000000 120000 %s %s A\0%s\0" % (b"0" * 40, each, each[:1]) for each in (one, two))
    answer = raw + b"links\x001\n2\n\x00%s missing\n%s blob 3\na\nb\n\x00" % (one, two)
    assert {each.path: each.leads_to for each in GitAnswer(answer).read().changed} == {"1": None, "2": "a\nb"}
