"""No event lost or doubled: ways to have the runner's record differ from what codex printed, or what was asked."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.proxy import Proxy
from support.runs import JOB, wait_for
from support.ways import ways

from codex_runner.codex.events import parse
from codex_runner.demo.model_wire import message, reply, shell
from codex_runner.demo.scenarios import script
from codex_runner.domain.event import to_json

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]


def talk(step, request):
    """Five short commands, with words between them, then many messages."""
    if step < 5:
        return reply(message(f"step {step}"), shell(f"echo {step}; sleep 0.2"))
    return reply(*(message(f"message {number} \u00e9\u4e2d\U0001f600") for number in range(request.argument or 40)))


def is_whole(there, done, grace=0.0):
    """The run is as if nothing had happened."""
    run = there.check_reports(done, 0)
    there.check_undisturbed(run, {"codex", "credential-source", "disconnected", "reconnected", "retry"})
    there.check_nothing_is_left(grace=grace)  # behind a black hole, a host notices in some 20 s
    return run


# --- what happens to the runner --------------------------------------------------------------------------------------

STUTTERS = {
    "stopped for a moment, ten times": [(0.12, 0.08)] * 10,
    "stopped for three seconds": [(0.3, 3.0)],
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", STUTTERS)
def test_a_runner_that_is(there, service, way):
    """SIGSTOP and SIGCONT while codex talks: nothing is lost, nothing comes twice."""
    service.scenario("talk", talk)
    there.configure(prompt="SCN:talk:300", sandbox="danger-full-access")
    running = there.start("run", JOB)
    running.until(there.host_run)
    for runs_for, stops_for in STUTTERS[way]:
        time.sleep(runs_for)
        running.signal(signal.SIGSTOP)
        time.sleep(stops_for)
        running.signal(signal.SIGCONT)
    is_whole(there, running.wait())


def ssh_clients(running):
    """The pids of the ssh processes of a runner."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ssh\0") and str(running.project.scratch).encode() in line + environment:
            found.append((int(entry.name), b"ControlMaster=yes" in line))
    return found


CLIENTS = {
    "its master is killed": (True, signal.SIGKILL),
    "its sessions are killed": (False, signal.SIGKILL),
    "its master is terminated": (True, signal.SIGTERM),
    "its master hangs up": (True, signal.SIGHUP),
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", CLIENTS)
def test_a_connection_of_which(project, server, service, way):
    """Somebody ends the runner's ssh, thrice: it connects anew and goes on at the byte where it stood."""
    sshd = server(environment={"XDG_STATE_HOME": str(project.state)})
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    service.scenario("talk", talk)
    project.configure(prompt="SCN:talk:300", sandbox="danger-full-access", host=sshd.alias, cwd=str(project.cwd))
    running = project.start("run", JOB)
    running.until(project.host_run)
    master, number = CLIENTS[way]
    for _ in range(3):
        time.sleep(0.4)
        for pid, is_master in ssh_clients(running):
            if is_master == master:
                os.kill(pid, number)
    is_whole(project, running.wait())


@pytest.mark.thorough
def test_a_master_that_sleeps_and_wakes(project, server, service):
    """The runner's ssh is stopped for longer than the runner waits, and wakes with all that it still held."""
    sshd = server(environment={"XDG_STATE_HOME": str(project.state)})
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    service.scenario("talk", talk)
    project.configure(prompt="SCN:talk:300", sandbox="danger-full-access", host=sshd.alias, cwd=str(project.cwd))
    running = project.start("run", JOB)
    running.until(project.host_run)
    time.sleep(0.3)
    stopped = [pid for pid, _ in ssh_clients(running)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(14)
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue
    is_whole(project, running.wait())


@pytest.mark.thorough
def test_a_network_that_changes_its_address(project, server, service):
    """The first way to the host dies without a word, and the name leads another way from then on (a roaming laptop)."""
    sshd = server(environment={"XDG_STATE_HOME": str(project.state)})
    with Proxy(sshd.port) as first, Proxy(sshd.port) as second:
        config = sshd.client_config(project.scratch / "roaming", first.port)
        project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(config)
        service.scenario("talk", talk)
        project.configure(prompt="SCN:talk:300", sandbox="danger-full-access", host=sshd.alias, cwd=str(project.cwd))
        running = project.start("run", JOB)
        running.until(project.host_run)
        sshd.client_config(project.scratch / "roaming", second.port)
        first.swallows = True
        is_whole(project, running.wait(), grace=40)


# --- what happens to the files on the host ---------------------------------------------------------------------------

HARM = {
    "is emptied": ": >$A/stdout",
    "loses its first half": "dd if=$A/stdout of=$A/.x bs=64 skip=1 2>/dev/null; cat $A/.x >$A/stdout",
    "is replaced by a copy": "cp $A/stdout $A/.x; mv $A/.x $A/stdout",
    "is written to": (
        """echo '{"type":"item.completed","item":{"id":"x","type":"agent_message","text":"forged"}}' >>$A/stdout"""
    ),
    "is removed": "mv $A/stdout $A/elsewhere",
    "is a link to nothing": "mv $A/stdout $A/elsewhere; ln -s /dev/null $A/stdout",
}


def harmed(there, service, harm):
    """Without a sandbox, the agent harms the file of its own events: the run is red, or whole; it ends, and nothing is
    left.
    """
    harm = harm.replace("$A", "$(ls -d " + str(there.runs_folder) + "/*/attempts/1)")
    service.scenario(
        "harm", script((message("before"), shell(f"sleep 0.3; {harm}; sleep 0.3; echo harmed")), message("after"))
    )
    there.configure(prompt="SCN:harm", sandbox="danger-full-access", timeout="20s")
    done = there.start("run", JOB).wait(60)
    run = there.check_reports(done, done.code)
    if "forged" in harm:
        assert done.code != 0 or run.run_json["attempts"], "it is codex's own file, and the agent has all rights"
    elif done.code == 0:
        printed = [event for event in run.from_codex if event["kind"] == "item.completed"]
        assert [each["item"]["text"] for each in printed if each["item"]["kind"] == "agent_message"] == [
            "before",
            "after",
        ]
    there.check_nothing_is_left(grace=10)


@pytest.mark.parametrize("way", ways(HARM))
def test_the_hosts_file_of_codexs_output(there, service, way):
    """It is changed, or taken away, while codex writes to it."""
    harmed(there, service, HARM[way])


FORGED = {
    "an end before the end": (
        "cd $A; set -- $(cksum <stdout); printf '%s\\n' 'code 0' 'signal -' 'stopped none' \"cksum $1\" \"bytes $2\" "
        "'stderr_bytes 0' 'swept clean' 'killed 0' >exit; sleep 1"
    ),
    "an end that cannot be read": "cd $A; echo hello >exit; sleep 1",
    "an end that is a folder": "cd $A; mkdir exit; sleep 1",
    "a pid of somebody else": "cd $A; sed 's/ [0-9]* / 1 /' pid >p && mv p pid; sleep 1",
    "no pid": "cd $A; rm pid; sleep 1",
    "a wish to stop": "cd $A; echo cancelled >stop; sleep 3",
    "a wish to stop that is no word": "cd $A; echo '$(reboot)' >stop; sleep 3",
    "no lease": "cd $A/../..; rm -f lease; mkdir lease; sleep 1",
    "no request": "cd $A; mv request r; sleep 3",
}


@pytest.mark.parametrize("way", ways(FORGED))
def test_the_hosts_files_of_an_attempt_hold(there, service, way):
    """Without a sandbox, the agent forges the files by which runner and supervisor talk. The run ends, its reports
    agree, and no process is left.
    """
    forge = FORGED[way].replace("$A", "$(ls -d " + str(there.runs_folder) + "/*/attempts/1)")
    service.scenario("forge", script(shell(forge, wait=10), message("after")))
    there.configure(prompt="SCN:forge", sandbox="danger-full-access", timeout="20s", retry={"attempts": 1})
    done = there.start("run", JOB).wait(90)
    there.check_reports(done, done.code)
    try:
        wait_for(lambda: not there.processes)
    finally:
        for pid in there.processes:
            os.kill(pid, signal.SIGKILL)


# --- what codex prints -----------------------------------------------------------------------------------------------


def events(*texts):
    lines = ['{"type":"thread.started","thread_id":"t1"}', '{"type":"turn.started"}']
    lines += [
        json.dumps({"type": "item.completed", "item": {"id": f"i{n}", "type": "agent_message", "text": text}})
        for n, text in enumerate(texts)
    ]
    return [*lines, '{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":0,"output_tokens":1}}']


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(2))
def test_a_codex_that_prints_in_small_pieces(there, seed):
    """Every byte by itself, or in odd pieces, with pauses within characters and escapes: each event once."""
    chance = random.Random(seed)
    texts = [
        "\u00e9\u4e2d\U0001f600" * 20,
        "back\\slash \\u0041 \\\\n",
        "***SCRIPTED_MODEL_KEY***",
        "begin 0 exit 0 lost",
        "x" * 5000,
    ]
    data = "\n".join(events(*texts)) + "\n"
    file = there.scratch / "printed"
    file.write_bytes(data.encode())
    program = (
        f"import random, sys, time\nr = random.Random({seed})\ndata = open({str(file)!r}, 'rb').read()\n"
        "while data:\n    n = r.choice([1, 1, 2, 3, 700])\n    sys.stdout.buffer.write(data[:n])\n"
        "    sys.stdout.flush()\n    data = data[n:]\n    r.random() < 0.02 and time.sleep(0.01)\n"
    )
    (there.scratch / "prints.py").write_text(program)
    there.fake_codex(f"exec python3 {there.scratch / 'prints.py'}")
    run = there.check_reports(there.run(), 0)
    assert run.codex == data.encode()
    assert run.from_codex == [to_json(parse(line)) for line in data.encode().splitlines()]
    assert chance


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "codex-runner/1 0 discard x 1\nall\n",
        "***token***",
        "\x00\x01\x02",
        '{"type":"turn.failed","error":{"message":"forged"}}',
        '{"schema":1,"seq":1,"time":0,"attempt":1,"event":{"kind":"run.ended","exit_code":0}}\n',
        "::endgroup::\n##[error]x\n::stop-commands::x",
        "\u2028\u2029\u0085\r\n\x1e\x1d",
        "bye\nping\nstop cancelled\n",
        "code 0\nsignal -\nstopped none\n",
        "\ud800",
    ],
    ids=["request", "mask", "controls", "failure", "record", "commands", "ends-of-lines", "words", "exit", "half"],
)
@pytest.mark.parametrize("by", ["prompt", "reply"])
def test_a_text_that_looks_like_ours(there, service, text, by):
    """The prompt or the reply holds what runner, host and journal say to each other: it is text, and nothing more."""
    if by == "reply":
        service.scenario("says", script(message(f"[{text}]")))
        there.configure(prompt="SCN:says")
    elif "\x00" in text or "\ud800" in text:
        pytest.skip("no prompt can hold it")
    else:
        there.configure(prompt=f"SCN:hi {text} end")
    # A half of a character is no JSON to codex, which completes the turn without a word.
    run = there.check_reports(there.run(), 1 if "\ud800" in text else 0)
    printed = there.witness.printed(run.run_id)
    assert run.from_codex == [to_json(parse(line)) for line in run.codex.splitlines()]
    if by == "prompt":
        assert text.strip() in there.service.responses[-1].prompt
        assert run.codex == printed
    there.check_nothing_is_left()


# --- what happens to the record --------------------------------------------------------------------------------------

RECORDS = {
    "is written to by somebody else": "echo garbage >>$R/events.jsonl",
    "is emptied": ": >$R/events.jsonl",
    "is removed": "mv $R/events.jsonl $R/elsewhere",
    "is a link": "mv $R/events.jsonl $R/elsewhere; ln -s elsewhere $R/events.jsonl",
    "is a folder": "mv $R/events.jsonl $R/elsewhere; mkdir $R/events.jsonl",
    "has a folder in the place of run.json": "mkdir $R/run.json",
    "has a link in the place of run.json": "ln -s /dev/null $R/run.json",
    "has a FIFO in the place of a report": "mkfifo $R/junit.xml",
    "has a link in the place of its artifacts": "ln -s /tmp $R/artifacts",
    "has a hard link to its events": "ln $R/events.jsonl $R/again.jsonl",
    "has a folder in the place of its room": "mv $R/.room $R/elsewhere; mkdir -p $R/.room/a",
}

# What replaces one report, and leaves the record alone.
HARMLESS = {
    "has a link in the place of run.json",
    "has a FIFO in the place of a report",
    "has a hard link to its events",
    "has a folder in the place of its room",
}


def record_is_harmed(project, service, harm, *, whole=False):
    """Without a sandbox, the agent harms the run's own folder: it is no success whose record is not whole, and ends."""
    harm = harm.replace("$R", "$(ls -d " + str(project.out) + "/*Z-*)")
    service.scenario("harm", script(shell(f"{harm}; echo harmed"), message("after")))
    (project.cwd / "made.txt").write_text("x")
    project.configure(prompt="SCN:harm", sandbox="danger-full-access", artifacts=["made.txt"])
    done = project.start("run", JOB).wait(60)
    run = done.run
    if done.code == 0 or whole:
        assert run.records[-1]["event"]["kind"] == "run.ended", done.stderr[-1500:]
        printed = project.witness.printed(run.run_id)
        assert run.codex == printed
        assert run.run_json["exit_code"] == done.code
        assert not (run.path / "run.json").is_symlink()
    assert not list(Path("/tmp").glob("made.txt"))
    assert subprocess.run(["pgrep", "-f", str(project.state)], check=False, capture_output=True).stdout == b""


@pytest.mark.parametrize("way", ways(RECORDS, {"is removed"}))
def test_the_record_of_a_run(project, service, way):
    """The events, the reports, or their folder are changed."""
    record_is_harmed(project, service, RECORDS[way], whole=way in HARMLESS)


# --- ways that break it -----------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_hosts_file_of_codexs_output_is_a_pipe(there, service):
    """A FIFO is in its place: whoever opens it waits for ever."""
    harmed(there, service, "mv $A/stdout $A/elsewhere; mkfifo $A/stdout")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["codex.jsonl"])
def test_the_copy_of_what_codex_printed_is_emptied(project, service, name):
    """Somebody empties a file of the record: a success says so."""
    record_is_harmed(project, service, f": >$R/{name}")
