"""Exactly one codex a run, one verdict a run: ways to have two, or none."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import tomli_w
from support.runs import JOB, Left
from support.ways import ways
from support.webhook import Receiver

from codex_runner.demo.model_wire import HttpError, message, reply

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def one_verdict(run):
    assert len(run.of_kind("run.ended")) == 1
    return run.run_json["exit_code"]


# --- cancelled -------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("times", [2, 5])
def test_cancelled_by_several_at_once(there, times):
    """Several people cancel a run in the same moment: one verdict, one set of reports, and nothing is left."""
    there.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = there.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = there.runs
    cancels = [there.start("cancel", left.run_id) for _ in range(times)]
    codes = [each.wait().code for each in cancels]
    done = running.wait()
    assert set(codes) <= {0, 2}, codes
    assert 0 in codes
    assert one_verdict(there.check_reports(done, 143)) == 143
    there.check_nothing_is_left()


@pytest.mark.thorough
def test_cancelled_and_interrupted_in_one_moment(there):
    """`cancel`, SIGINT and SIGTERM meet: one of them is the reason, and there is one verdict."""
    there.configure(prompt="SCN:long_command:300", sandbox="danger-full-access")
    running = there.start("run", JOB)
    running.until_command("sleep 300")
    (left,) = there.runs
    cancel = there.start("cancel", left.run_id)
    running.signal(signal.SIGINT)
    running.signal(signal.SIGTERM)
    cancel.wait()
    done = running.wait()
    assert done.code in {130, 143}
    one_verdict(there.check_reports(done, done.code))
    there.check_nothing_is_left()


@pytest.mark.thorough
def test_cancelled_when_it_is_over(there):
    """`cancel` after the end is told that there is nothing, and changes nothing."""
    done = there.run()
    before = done.run.records
    cancel = there.command("cancel", done.run.run_id)
    assert cancel.code == 2, cancel.stderr
    assert done.run.records == before
    one_verdict(done.run)


# --- attached to, and looked at --------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_attached_to_again_and_again_when_it_is_over(there):
    """A run that is over is attached to twice at once: the verdict stays, and no check is run again."""
    count = there.scratch / "count"
    there.configure(checks=[{"name": "it", "run": f"echo x >>{count}; exit 1"}])
    done = there.run()
    before = done.run.records
    codes = [each.wait().code for each in [there.start("attach", done.run.run_id) for _ in range(2)]]
    assert 1 in codes, codes
    assert set(codes) <= {1, 2, 14}, codes
    assert count.read_text() == "x\n"
    assert [record["event"]["kind"] for record in done.run.records].count("run.ended") == 1
    assert done.run.records[: len(before)] == before


@pytest.mark.thorough
@pytest.mark.parametrize(
    "command",
    [
        ["prune", "--keep-last", "0", "--unfinished"],
        ["prune", "--older-than", "0s"],
        ["runs"],
        ["report", "last"],
        ["logs", "last"],
    ],
    ids=" ".join,
)
def test_a_command_beside_a_run(there, command):
    """Somebody prunes, lists, reports or reads beside a run: it goes on, whole."""
    there.configure(prompt="SCN:slow:2", sandbox="danger-full-access")
    running = there.start("run", JOB)
    running.until_command("sleep 1")
    beside = there.command(*command)
    done = running.wait()
    assert "Traceback" not in beside.stderr
    run = there.check_reports(done, 0)
    there.check_undisturbed(run)
    one_verdict(run)
    there.check_nothing_is_left()


@pytest.mark.thorough
def test_two_runs_that_begin_in_one_second(there):
    """Four runs of one job begin at once: four folders, four codexes, four verdicts."""
    count = there.scratch / "count"
    there.configure(checks=[{"name": "it", "run": f"echo x >>{count}"}])
    running = [there.start("run", JOB) for _ in range(4)]
    codes = [each.wait(120).code for each in running]
    assert codes == [0] * 4
    runs = there.runs
    assert len({run.run_id for run in runs}) == 4
    assert count.read_text() == "x\n" * 4
    for run in runs:
        one_verdict(run)
    there.check_nothing_is_left()


@pytest.mark.thorough
def test_tried_again_by_the_service_and_by_the_job(project, service):
    """The model fails now and then, under a check that fails: each turn has one codex, each attempt one end."""

    def play(step, request):
        return HttpError(500, {"message": "no"}) if request.asked == 0 else reply(message(f"turn {step}"))

    service.scenario("flaky", play)
    project.configure(
        prompt="SCN:flaky",
        sandbox="workspace-write",
        checks=[{"name": "it", "run": "test -e made || { touch made; exit 1; }"}],
        on_check_failure="retry",
        retry={"attempts": 3},
    )
    done = project.run()
    run = project.check_reports(done, done.code)
    began, ended = (len(run.of_kind(f"attempt.{kind}")) for kind in ("started", "ended"))
    assert began == ended
    one_verdict(run)
    project.check_nothing_is_left()


# --- where the verdict goes ------------------------------------------------------------------------------------------

SUMMARIES = {
    "a full device": lambda path: path.symlink_to("/dev/full"),
    "a folder": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to("/nonexistent/x"),
    "a file in no folder": lambda path: None,
    "a link in a circle": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("way", ways(SUMMARIES))
def test_a_summary_of_github_that_cannot_be_written(project, way):
    """GITHUB_STEP_SUMMARY is odd: the verdict stays what it is."""
    path = project.scratch / ("no/summary" if way == "a file in no folder" else "summary")
    SUMMARIES[way](path)
    project.environ["GITHUB_STEP_SUMMARY"] = str(path)
    one_verdict(project.check_reports(project.run(), 0))


PLACES = {
    "junit is a FIFO": (["--junit", "fifo"], {2, 3}),
    "junit is a device": (["--junit", "/dev/full"], {2, 3}),
    "the output is a FIFO": (["-o", "fifo"], {2, 3}),
    "the output is a file": (["-o", "codex-runner.toml"], {2, 3}),
    "the output is on /proc": (["-o", "/proc/runs"], {2, 3}),
    "the output's name has a line break": (["-o", "new\nline"], {0, 2, 3}),
    "the output's name is no text": (["-o", "caf\udce9"], {0, 2, 3}),
    "the output's name is a pattern": (["-o", "a[1]*"], {0, 2, 3}),
    "the output is a link to a folder": (["-o", "link"], {0}),
}


@pytest.mark.parametrize("way", ways(PLACES))
def test_a_place_for_what_a_run_leaves(project, way):
    """Where reports are to lie is odd: refused before anything is spent, or whole; never neither."""
    os.mkfifo(project.cwd / "fifo")
    (project.scratch / "target").mkdir()
    (project.cwd / "link").symlink_to(project.scratch / "target")
    words, codes = PLACES[way]
    done = project.command("run", JOB, *words)
    assert done.code in codes, (done.code, done.stderr[-1500:])
    if done.code == 0:
        (folder,) = Path(project.cwd, words[1]).glob("*Z-*")
        one_verdict(Left(folder))
    else:
        assert project.service.responses == []


# --- ways that break it -----------------------------------------------------------------------------------------------


def test_a_summary_of_github_that_is_a_pipe_without_a_reader(project):
    """GITHUB_STEP_SUMMARY is a FIFO that nobody reads: the run ends with its verdict, and can be interrupted."""
    path = project.scratch / "summary"
    os.mkfifo(path)
    project.environ["GITHUB_STEP_SUMMARY"] = str(path)
    running = project.start("run", JOB)
    running.until(lambda: project.runs and (project.runs[0].path / "run.json").exists())
    try:
        running.process.wait(120)
    except subprocess.TimeoutExpired:
        running.signal(signal.SIGTERM)
        time.sleep(1)
        hangs = running.process.poll() is None
        running.kill()
        pytest.fail(f"the runner hangs after its verdict{', also after SIGTERM' if hangs else ''}")
    assert running.wait().code == 0


def _limited(request):
    if request.asked < 2:  # codex itself tries once more
        text = "Rate limit reached. Please try again in 4s."
        error = {"message": text, "type": "requests", "code": "rate_limit_exceeded"}
        return HttpError(429, error, {"retry-after": "4"})
    return reply(message("went on"))


@pytest.mark.thorough
def test_cancelled_between_two_attempts(there, service):
    """The job waits for its next attempt when it is cancelled: it does not go on to that attempt."""
    service.scenario("limited", lambda _step, request: _limited(request))
    there.configure(prompt="SCN:limited", retry={"attempts": 3})
    running = there.start("run", JOB)
    running.until(lambda: b'"attempt.retry"' in there.recorded)
    (left,) = there.runs
    cancel = there.command("cancel", left.run_id)
    done = running.wait()
    assert (cancel.code, done.code) == (0, 143), f"cancel said {cancel.code}: {cancel.stderr[-300:]}"
    one_verdict(there.check_reports(done, 143))


@pytest.mark.thorough
def test_cancelled_during_its_checks(there):
    """The agent is done, and a check runs, when the job is cancelled: the check is ended, and the run is no success."""
    there.configure(checks=[{"name": "it", "run": "sleep 6"}])
    running = there.start("run", JOB)
    running.until(lambda: b'"check.started"' in there.recorded)
    (left,) = there.runs
    cancel = there.command("cancel", left.run_id)
    done = running.wait()
    assert (cancel.code, done.code) == (0, 143), f"cancel said {cancel.code}: {cancel.stderr[-300:]}"


@pytest.mark.thorough
def test_a_copy_of_a_run_that_is_attached_to(there):
    """The folder of a run is copied while its runner follows it, and the copy is attached to: nobody else judges."""
    count = there.scratch / "count"
    there.configure(
        prompt="SCN:slow:3", sandbox="danger-full-access", checks=[{"name": "it", "run": f"echo x >>{count}"}]
    )
    running = there.start("run", JOB)
    running.until_command("sleep 1")
    (left,) = there.runs
    copy = there.scratch / "copy"
    shutil.copytree(there.out, copy)
    second = there.command("attach", left.run_id, "-o", copy)
    done = running.wait()
    assert done.code == 0, done.stderr[-2000:]
    assert second.code != 0, "two runners have followed one run, and both say that it succeeded"
    assert count.read_text() == "x\n"


@pytest.mark.thorough
def test_who_is_told_of_a_run_that_is_attached_to_when_it_is_over(project):
    """Attaching to a run that is over tells nobody a second time."""
    with Receiver() as receiver:
        project.environ["T_URL"] = receiver.url
        configuration = project.cwd / "codex-runner.toml"
        target = {"name": "it", "url_variable": "T_URL", "on": ["succeeded", "failed"]}
        configuration.write_text(configuration.read_text() + tomli_w.dumps({"notify": [target]}))
        summary = project.environ["GITHUB_STEP_SUMMARY"] = str(project.scratch / "summary")
        done = project.run()
        assert done.code == 0, done.stderr
        first = (len(receiver.posts), Path(summary).read_text().count("succeeded"))
        assert first[0] == 1, done.stderr
        project.command("attach", done.run.run_id)
        assert (len(receiver.posts), Path(summary).read_text().count("succeeded")) == first
