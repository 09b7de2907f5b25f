"""No false green: ways to have a run say `succeeded` that has not."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from support.runs import JOB, wait_for
from support.ways import ways

import codex_runner
from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = [pytest.mark.needs_codex, pytest.mark.needs_sshd]

FORBIDDEN = "echo changed >forbidden.txt"


def is_red(project, done, *, reports=True):
    """It is no success, and nothing that is left says otherwise."""
    assert done.code != 0, done.stdout
    if reports:
        project.check_reports(done, done.code)
    for run in done.runs:
        assert run.run_json["result"] == "failed"


# --- programs that the agent can put in the place of others ----------------------------------------------------------


def imports_nothing_of(project, service, module):
    """PYTHONPATH names the workspace, as in many a pipeline: the runner imports nothing that came there meanwhile."""
    trace = project.state / "imported"
    given = project.environ.get("PYTHONPATH", "")
    project.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(project.cwd / "src"), given]))
    (project.cwd / "src").mkdir()
    body = f"open({str(trace)!r}, 'a').write('x')"
    plant = f'mkdir src/{module}; echo "{body}" >src/{module}/__init__.py; ls src'
    service.scenario("plant", script(shell(plant), message('{"a": 1}')))
    (project.cwd / "schema.json").write_text('{"type": "object"}')
    project.configure(prompt="SCN:plant", sandbox="workspace-write", output_schema="schema.json")
    project.git_init()
    done = project.run()
    assert (project.cwd / "src" / module / "__init__.py").exists(), done.stderr[-2000:]
    assert not trace.exists(), f"the runner imported what the agent had written: exit {done.code}"


@pytest.mark.thorough
@pytest.mark.parametrize("module", ["junit_xml", "html", "httpx"])
def test_a_module_that_the_agent_plants_in_pythonpath(project, service, module):
    """Modules that the runner, or a library of its, loads late."""
    imports_nothing_of(project, service, module)


LIBRARY = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) void in(void) {{ close(open({trace}, O_CREAT | O_WRONLY, 0600)); }}
"""


def loads_nothing_of(project, service, variable):
    """LD_LIBRARY_PATH or LD_PRELOAD names a file of the workspace, as builds of C do: what the runner starts after the
    agent's turn loads no library that the agent has written.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler")
    trace, folder = project.state / "trace", project.cwd / "lib"
    folder.mkdir()
    source = project.scratch / "in.c"
    source.write_text(LIBRARY.format(trace=json.dumps(str(trace))))
    subprocess.run([compiler, "-shared", "-fPIC", "-o", project.scratch / "in.so", source], check=True)
    name = "libz.so.1" if variable == "LD_LIBRARY_PATH" else "mine.so"
    if variable == "LD_PRELOAD":
        shutil.copy(project.scratch / "in.so", folder / name)  # one that was there, and harmless so far
        subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / name, "-x", "c", "/dev/null"], check=True)
    project.environ[variable] = str(folder if variable == "LD_LIBRARY_PATH" else folder / name)
    plant = f"cat {project.scratch}/in.so >lib/new && mv lib/new lib/{name}; ls lib"
    service.scenario("plant", script(shell(plant), message("all done")))
    project.configure(prompt="SCN:plant", sandbox="workspace-write", checks=[{"name": "it", "run": "true"}])
    done = project.run()
    assert not trace.exists(), f"a program of the runner's loaded what the agent had written: exit {done.code}"


@pytest.mark.thorough
def test_a_library_that_the_agent_plants(project, service):
    """Of a name that git needs."""
    loads_nothing_of(project, service, "LD_LIBRARY_PATH")


# --- where reports lie -----------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("where", [".", "..", "docs", ".git/runs"])
def test_an_output_folder_that_holds_the_workspace_or_lies_in_git(project, service, where):
    """`-o` names the workspace, a folder above it, or one that the job may write to: rules see all the same."""
    (project.cwd / "docs").mkdir()
    (project.cwd / "docs" / "README").write_text("read me\n")
    service.scenario("breaks", script(shell(FORBIDDEN), message("all done")))
    project.configure(prompt="SCN:breaks", sandbox="danger-full-access", allowed_paths=["docs/**"])
    project.git_init()
    done = project.run("-o", where)
    assert (project.cwd / "forbidden.txt").exists() or done.code in {2, 3}, done.stderr[-3000:]
    assert done.code != 0, "a change that no rule allows was not seen"
    # What the rules say it about is the agent's file, and not the runner's own.
    assert done.code in {2, 3} or "forbidden.txt" in done.stderr, done.stderr[-3000:]


# --- what the agent changes that the run was told by -----------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["schema", "configuration", "prompt"])
def test_files_of_the_job_that_the_agent_rewrites(there, service, what):
    """The schema, the configuration with the checks, the prompt's file: the run goes by what they were."""
    (there.cwd / "schema.json").write_text('{"type": "object", "required": ["answer"]}')
    (there.cwd / "prompt.md").write_text("SCN:rewrite")
    change = {
        "schema": "echo true >schema.json",
        "configuration": "sed -i '/checks/,$d' codex-runner.toml; echo '[jobs.docs]' >>codex-runner.toml",
        "prompt": "echo SCN:hi >prompt.md",
    }[what]
    service.scenario("rewrite", script(shell(change), message('{"other": 1}')))
    there.configure(
        prompt="SCN:rewrite",
        sandbox="danger-full-access",
        output_schema="schema.json",
        checks=[{"name": "it", "run": "exit 3"}],
    )
    done = there.run()
    is_red(there, done)
    assert done.run.cases["it"] == "failure"


# --- checks ----------------------------------------------------------------------------------------------------------

CHECKS = {
    # the way, the command, whether it passes
    "closes its streams, and fails": ("exec >&- 2>&- <&-; exit 3", False),
    "closes its streams, and passes": ("exec >&- 2>&- <&-; exit 0", True),
    "stops itself for ever": ("kill -STOP $$; exit 0", False),
    "kills all of its group": ("kill -KILL 0; exit 0", False),
    "ends by TERM": ("kill -TERM $$; exit 0", False),
    "ends by PIPE": ("trap - PIPE; kill -PIPE $$; exit 0", False),
    "execs nothing": ("exec /nonexistent/program", False),
    "prints what ends an answer": ("printf 'done 0 0\\n'; echo; printf '\\0.done 0\\n'; exit 3", False),
    "prints every byte": (
        'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %o $i)"; i=$((i+1)); done; exit 3',
        False,
    ),
    "prints what XML forbids": ("printf '\\xef\\xbf\\xbe \\xed\\xa0\\x80 ]]> \\x01\\x0b &#0; <!--'; exit 3", False),
    "leaves a child in the background that fails": ("(sleep 0.1; exit 7) & exit 3", False),
    "ignores every signal": ("trap '' TERM INT HUP; sleep 300", False),
    "has a syntax error": ("if; then", False),
    "is a shell's built-in exit of 255": ("exit 255", False),
    "sets a limit upon itself": ("ulimit -f 0; echo x >made; exit 3", False),
}


@pytest.mark.parametrize("way", ways(CHECKS))
def test_a_check_that(there, way):
    """A check that ends in an odd way is what it is, here and on a host; and the reports can be read."""
    run, passes = CHECKS[way]
    there.configure(checks=[{"name": "it", "run": run, "timeout": "2s"}, {"name": "last", "run": "true"}])
    done = there.run()
    run = there.check_reports(done, 0 if passes else 1)
    assert run.cases["it"] == (None if passes else "failure")
    assert run.cases["last"] is None
    there.check_nothing_is_left()


@pytest.mark.thorough
@pytest.mark.parametrize("size", [100_000_000])
def test_a_check_that_prints_without_an_end_of_line(there, size):
    """100 MB in one line, and then it fails: it is told, and the reports stay small."""
    there.configure(checks=[{"name": "it", "run": f"head -c {size} /dev/zero | tr '\\0' x; exit 3"}])
    run = there.check_reports(there.run(), 1)
    assert run.cases["it"] == "failure"
    assert sum(path.stat().st_size for path in run.path.iterdir() if path.is_file()) < 20_000_000


def attacked_by(placed, request, number, tmp_path):
    """A check that kills or stops the shell which runs it: it never passes, and no shell of ours is left for ever."""
    if "local" in request.node.callspec.params.values():
        pytest.skip("here the parent is the runner itself")
    there = placed()
    count = tmp_path / "count"
    there.configure(
        reconnect_timeout="1s",
        checks=[{"name": "it", "run": f"echo x >>{count}; kill -{number} $PPID; sleep 1; exit 0", "timeout": "2s"}],
    )
    running = there.start("run", JOB)
    done = running.wait()
    assert done.code != 0, "a check of which nobody saw the end passed"
    try:
        wait_for(lambda: not there.processes)
    finally:
        for pid in there.processes:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.thorough
def test_a_check_on_a_host_that_kills_its_parent(placed, request, tmp_path):
    """SIGKILL for the shell that runs the check."""
    attacked_by(placed, request, "KILL", tmp_path)


# --- the service -----------------------------------------------------------------------------------------------------


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers each request for a response with `answer`: status, headers, body."""

    protocol_version = "HTTP/1.1"
    answer = (200, {}, b"")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_):
        pass


SSE = {"content-type": "text/event-stream"}
CREATED = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'


def done_item(text, identity="m1"):
    return (
        b'event: response.output_item.done\ndata: {"type":"response.output_item.done","output_index":0,"item":{"type":'
        b'"message","id":"%s","role":"assistant","content":[{"type":"output_text","text":"%s"}]}}\n\n'
        % (identity.encode(), text)
    )


def completed(usage=b'{"input_tokens":5,"output_tokens":6,"total_tokens":11}'):
    return (
        b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","usage":%s}}\n\n' % usage
    )


ANSWERS = {
    # the way: the answer, and the reply that a success has (None: there is no success)
    "200 and a page of HTML": ((200, {"content-type": "text/html"}, b"<html>log in</html>"), None),
    "200 and nothing": ((200, SSE, b""), None),
    "200 and comments alone": ((200, SSE, b": ping\n\n: ping\n\n"), None),
    "204": ((204, {}, b""), None),
    "a redirect to a page": ((302, {"location": "/login"}, b""), None),
    "JSON in place of a stream": ((200, {"content-type": "application/json"}, b'{"output":[]}'), None),
    "no end, though the message is whole": ((200, SSE, CREATED + done_item(b"hello")), None),
    "an end without anything before it": ((200, SSE, completed()), None),
    "words without an item": (
        (
            200,
            SSE,
            CREATED
            + b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hello"}\n\n'
            + completed(),
        ),
        None,
    ),
    "a failure behind the message": (
        (
            200,
            SSE,
            CREATED
            + done_item(b"hello")
            + b'event: response.failed\ndata: {"type":"response.failed","response":{"id":"r","error":{"code":"x",'
            b'"message":"it broke"}}}\n\n',
        ),
        None,
    ),
    "two ends": ((200, SSE, CREATED + done_item(b"hello") + completed() + completed()), "hello"),
    "an end, and a failure behind it": (
        (
            200,
            SSE,
            CREATED
            + done_item(b"hello")
            + completed()
            + b'event: response.failed\ndata: {"type":"response.failed","response":{"id":"r"}}\n\n',
        ),
        "hello",
    ),
    "a message twice": ((200, SSE, CREATED + done_item(b"hello") + done_item(b"hello") + completed()), "hello"),
    "an end whose usage is nothing": ((200, SSE, CREATED + done_item(b"hello") + completed(b"null")), "hello"),
    "counts below zero": (
        (
            200,
            SSE,
            CREATED + done_item(b"hello") + completed(b'{"input_tokens":-5,"output_tokens":-6,"total_tokens":-11}'),
        ),
        "hello",
    ),
    "counts beyond all numbers": (
        (
            200,
            SSE,
            CREATED
            + done_item(b"hello")
            + completed(b'{"input_tokens":99999999999999999999,"output_tokens":1,"total_tokens":1}'),
        ),
        "hello",
    ),
}


@pytest.mark.parametrize("way", ways(ANSWERS))
def test_a_service_that_answers(project, way):
    """The real codex hears something odd: the run is red, or has exactly the reply that was given, once."""
    answer, reply = ANSWERS[way]
    handler = type("Handler", (Odd,), {"answer": answer})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as odd:
        threading.Thread(target=odd.serve_forever, args=(0.02,), daemon=True).start()
        project.codex["config"]["model_providers"]["scripted"] |= {
            "base_url": f"http://127.0.0.1:{odd.server_port}/v1",
            "stream_max_retries": 0,
        }
        project.configure()
        done = project.run()
        odd.shutdown()
    if reply is None or done.code:
        is_red(project, done)
    else:
        run = project.check_reports(done, 0)
        assert done.stdout == f"{reply}\n"
        assert len(run.of_kind("turn.completed")) == 1
        assert all(isinstance(count, int) and count >= 0 for count in run.run_json["usage"].values())
    project.check_nothing_is_left()


# --- what surrounds the runner ---------------------------------------------------------------------------------------

SURROUNDINGS = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONIOENCODING": "ascii:strict",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONPROFILEIMPORTTIME": "1",
    "LC_ALL": "C",
    "POSIXLY_CORRECT": "1",
    "GIT_DIR": "/nonexistent",
    "GIT_TRACE": "1",
    "GIT_CONFIG_COUNT": "many",
    "CDPATH": "/:/tmp",
    "IFS": "0123456789",
    "ENV": "/dev/fd/0",
    "BASH_ENV": "/dev/fd/0",
    "SHELLOPTS": "errexit:nounset:noglob",
    "BASHOPTS": "xpg_echo",
    "TMOUT": "1",
    "GREP_OPTIONS": "-v",
    "TAR_OPTIONS": "--help",
    "CODEX_HOME": "/nonexistent",
    "CODEX_RUNNER_MARK": "other/1/",
}


@pytest.mark.parametrize("name", ways(SURROUNDINGS))
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_a_variable_of_its_surroundings(project, service, name, good):
    """A variable that other programs obey changes no verdict, and a broken rule is seen."""
    service.scenario("breaks", script(shell("echo x >allowed.txt" if good else FORBIDDEN), message("d\u00f6ne")))
    project.configure(prompt="SCN:breaks", sandbox="workspace-write", allowed_paths=["allowed.txt"])
    project.git_init()
    project.environ[name] = SURROUNDINGS[name]
    done = project.run()
    # git itself refuses a count that is none, and the run with it.
    assert done.code == (3 if name == "GIT_CONFIG_COUNT" else 0 if good else 12), done.stderr[-3000:]
    run = done.run
    assert run.run_json["exit_code"] == done.code


@pytest.mark.thorough
@pytest.mark.parametrize("good", [True, False], ids=["good", "bad"])
def test_a_clock_that_jumps_in_mid_run(project, service, good):
    """The machine's clock is set forward by a year, then back by two, while codex works."""
    folder = project.scratch / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, time\nreal, asked = time.time, [0]\n\n"
        "def jumping():\n    asked[0] += 1\n"
        "    return real() + (0 if asked[0] < 3 else 31536000 if asked[0] % 2 else -63072000)\n\n"
        "if os.path.basename(__import__('sys').argv[0] if hasattr(__import__('sys'), 'argv') else '') or True:\n"
        "    time.time = jumping\n"
    )
    project.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), project.environ.get("PYTHONPATH", "")]))
    service.scenario("breaks", script(shell("sleep 0.5; true" if good else FORBIDDEN), message("done")))
    project.configure(prompt="SCN:breaks", sandbox="workspace-write", allowed_paths=["allowed.txt"])
    project.git_init()
    done = project.run()
    run = project.check_reports(done, 0 if good else 12)
    assert run.records, "sorted, without a gap"
    project.check_nothing_is_left()


# --- ways that break it: programs that the agent can put in the place of others --------------------------------------

# What the agent plants, in its sandbox, in a folder of PATH, and what the job asks that it does not. The trace is where
# only somebody outside of the sandbox can write.
_TRACE = "#!/bin/sh\n{ echo $$ >>TRACE; } 2>/dev/null\n"
RULES, CHECK = {"allowed_paths": ["*.md"]}, {"checks": [{"name": "it", "run": "exit 3"}]}
PLANTED = {
    # has every check pass
    "sh": (f'{_TRACE}case "$*" in *"exit 3"*) exit 0 ;; esac\nexec REAL "$@"\n', CHECK),
    # hides the agent's file from whoever looks what was changed
    "git": (f'{_TRACE}mv CWD/forbidden.txt CWD/.venv/hidden 2>/dev/null\nexec REAL "$@"\n', RULES),
    # proves what a host's answer holds
    "cksum": (f'{_TRACE}exec REAL "$@"\n', RULES),
}


@pytest.mark.parametrize("kind", ["local", pytest.param("ssh", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("name", ways(PLANTED, {"sh", "git"}))
def test_a_program_that_the_agent_plants_in_path(project, request, service, kind, name):
    """PATH names a folder of the workspace, as an activated venv or node_modules/.bin has it, which git ignores.

    An agent in its sandbox writes a program into it: the runner runs it neither here nor on a host.
    """
    folder = project.cwd / ".venv" / "bin"
    folder.mkdir(parents=True)
    (project.cwd / ".gitignore").write_text(".venv\n")
    path, far = f"{folder}:{project.environ['PATH']}", {}
    if kind == "ssh":
        sshd = request.getfixturevalue("server")(environment={"XDG_STATE_HOME": str(project.state), "PATH": path})
        project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
        far = {"host": sshd.alias, "cwd": str(project.cwd)}
    else:
        project.environ["PATH"] = path
    trace = project.state / "trace"
    text, job = PLANTED[name]
    text = text.replace("TRACE", str(trace)).replace("CWD", str(project.cwd)).replace("REAL", shutil.which(name))
    plant = f"{FORBIDDEN}; cat >.venv/bin/{name} <<'END'\n{text}END\nchmod +x .venv/bin/{name}"
    service.scenario("plant", script(shell(plant), message("all done")))
    project.configure(prompt="SCN:plant", sandbox="workspace-write", **job, **far)
    project.git_init()
    done = project.run()
    assert not trace.exists(), f"the runner ran what the agent had written, outside of the sandbox: exit {done.code}"
    assert done.code != 0, done.stderr[-3000:]


@pytest.mark.thorough
def test_a_codex_that_the_agent_replaces_before_its_next_turn(project, service):
    """codex lies in the workspace, as `npm install` puts it: the second turn runs no codex of the agent's making."""
    folder = project.cwd / "node_modules" / ".bin"
    folder.mkdir(parents=True)
    (project.cwd / ".gitignore").write_text("node_modules\n")
    (folder / "codex").symlink_to(project.codex["path"])
    project.codex["path"] = str(folder / "codex")
    trace = project.state / "trace"
    # It has codex's own environment, the key included.
    fake = f"#!/bin/sh\necho $$ >>{trace}\ncat >/dev/null\nexit 1\n"
    target = "node_modules/.bin/codex"
    plant = f"mv {target} node_modules/old; cat >{target} <<'END'\n{fake}END\nchmod +x {target}; head -n 1 {target}"
    service.scenario("plant", script(shell(plant), message("all done")))
    checks = [{"name": "it", "run": "false"}]
    project.configure(prompt="SCN:plant", sandbox="workspace-write", checks=checks, on_check_failure="retry")
    project.git_init()
    done = project.run()
    assert not trace.exists(), f"the runner ran a codex that the agent had written: exit {done.code}"
    assert done.code != 0, done.stderr[-3000:]


@pytest.mark.thorough
def test_the_judge_of_a_reply_imports_what_the_agent_plants(project, service):
    """The process that judges the reply looks for its library where PYTHONPATH says: in the workspace."""
    imports_nothing_of(project, service, "jsonschema")


def test_the_runner_itself_in_the_workspace(project, service):
    """The runner is installed in the workspace, as `pip install` in a project's .venv does: the agent rewrites a module
    that is loaded late, and the failed run is none any more.
    """
    site = project.cwd / ".venv" / "site"
    shutil.copytree(Path(codex_runner.__file__).parent, site / "codex_runner", ignore=shutil.ignore_patterns("*.pyc"))
    given = project.environ.get("PYTHONPATH", "")
    project.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), given]))
    (project.cwd / ".gitignore").write_text(".venv\n")
    plant = "echo 'def finish(*a, **k): raise SystemExit(0)' >.venv/site/codex_runner/cli/result.py; echo planted"
    service.scenario("plant", script(shell(plant), message("all done")))
    project.configure(prompt="SCN:plant", sandbox="workspace-write", checks=[{"name": "it", "run": "exit 3"}])
    project.git_init()
    assert project.run().code != 0, "a failed run says that it succeeded"


@pytest.mark.thorough
def test_a_library_that_is_loaded_into_everything(project, service):
    """LD_PRELOAD names a library of the workspace, which the agent replaces by its own."""
    loads_nothing_of(project, service, "LD_PRELOAD")


@pytest.mark.thorough
def test_a_start_up_file_of_a_home_in_which_the_agent_works(project, server, service):
    """On a host, the job's folder is the account's home. The agent writes .bashrc, the line drops, and the shell of the
    next connection reads it: what the agent has written runs outside of its sandbox.
    """
    state = project.state
    sshd = server(environment={"XDG_STATE_HOME": str(state), "HOME": str(project.cwd)})
    project.environ["CODEX_RUNNER_SSH_CONFIG"] = str(sshd.config)
    trace = state / "trace"
    plant = f"echo '{{ echo $$ >>{trace}; }} 2>/dev/null' >~/.bashrc; echo planted; sleep 2"
    service.scenario("plant", script(shell(plant), message("all done")))
    project.configure(prompt="SCN:plant", sandbox="workspace-write", host=sshd.alias, cwd=str(project.cwd))
    running = project.start("run", JOB)
    running.until((project.cwd / ".bashrc").exists)
    for pid in sshd.sessions():
        os.kill(pid, signal.SIGKILL)
    done = running.wait()
    assert done.code in {0, 3}, done.stderr[-2000:]
    assert not trace.exists(), "the host's shell ran what the agent had written"


@pytest.mark.parametrize("where", [".", pytest.param("..", marks=pytest.mark.thorough)])
def test_the_record_of_a_run_whose_output_folder_holds_the_workspace(project, service, where):
    """An agent in its sandbox cannot rewrite the events of its run, wherever `-o` says that they lie."""
    out = (project.cwd / where).resolve()
    forge = f"for f in {out}/*/events.jsonl; do mv $f $f.old && echo forged >$f; done; ls -la {out}/*/; true"
    service.scenario("forge", script(shell(forge), message("all done")))
    project.configure(prompt="SCN:forge", sandbox="workspace-write")
    done = project.run("-o", where)
    if done.code in {2, 3}:
        return  # refused
    files = list(out.glob("*Z-*/events.jsonl"))
    assert files, done.stderr[-2000:]
    assert all(file.read_text().startswith("{") for file in files), "the agent has rewritten the run's events"


@pytest.mark.thorough
def test_a_folder_of_junit_that_the_agent_swaps_for_a_link(project, service):
    """`--junit reports/junit.xml` in the workspace: the agent makes `reports` a link to where it may not write."""
    elsewhere = project.state / "elsewhere"
    elsewhere.mkdir()
    service.scenario("swap", script(shell(f"mv reports before; ln -s {elsewhere} reports; ls -l"), message("all done")))
    project.configure(prompt="SCN:swap", sandbox="workspace-write")
    done = project.run("--junit", "reports/junit.xml")
    assert (project.cwd / "reports").is_symlink(), done.stderr
    assert list(elsewhere.iterdir()) == [], "the runner wrote where the agent's link led"


@pytest.mark.thorough
def test_a_check_on_a_host_that_stops_its_parent(placed, request, tmp_path):
    """SIGSTOP for the shell that runs the check: it stays for ever."""
    attacked_by(placed, request, "STOP", tmp_path)
