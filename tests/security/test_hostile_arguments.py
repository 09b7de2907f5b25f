"""Hostile arguments to every command: each is refused with its documented exit code, and nothing of it is executed.

What is not refused, since it may well be meant (a prompt, a variable), goes through a run: test_hostile_names.py.
"""

import json
import os
import re
import subprocess
import sys

from support.far import repository
from support.hostile import obeyed

# Where a hostile value stands, and the exit codes that refuse it: a command line that is wrong, or a configuration.
PLACES = {
    ("run", "--", "@"): {3},
    ("run", "docs", "-c", "@"): {3},
    ("run", "docs", "--host", "@"): {3},
    ("run", "docs", "--prompt-file", "@"): {3},
    ("run", "docs", "--context", "@"): {2},
    ("run", "docs", "--var", "@"): {2, 3},
    ("run", "docs", "--set", "@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.cwd=@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.codex.path=@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.host=@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.output_schema=@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.workspace.ref=@"): {3},
    ("run", "docs", "--dry-run", "--set", "jobs.docs.workspace.repo=@"): {3},
    ("attach", "--", "@"): {2},
    ("attach", "20260102T030405Z-docs-0a1b2c3d", "--host", "@"): {2, 3, 6},
    ("cancel", "--", "@"): {2},
    ("cancel", "20260102T030405Z-docs-0a1b2c3d", "--host", "@"): {2, 3, 6},
    ("logs", "--", "@"): {2},
    ("report", "--", "@"): {2},
    ("runs", "--since", "@"): {2},
    ("prune", "--older-than", "@"): {2},
    ("hosts", "-c", "@"): {3},
    ("doctor", "--", "@"): {3},
    ("init", "github", "--job", "@"): {3},
    ("vault", "setup", "--repo", "acme/app", "--repository-id", "1", "--workflow", "@"): {2, 3},
    ("token", "put", "--owner", "ada", "--expires", "30d", "--", "@"): {2, 3, 4, 5},
    ("token", "check", "--within", "@"): {2},
}

# Some of them are enough for each place: a command that a shell gets, an option, more than a line, what moves a cursor.
TEXTS = ("$(touch canary)", "'; touch canary; '", "-oProxyCommand=touch canary")
TEXTS = (*TEXTS, "a\n`touch canary`\n::error::x", "##[error]x\r\x1b[2J\u202e", "../../etc")

# A command of another CI system, or what a terminal obeys, save colours of our own.
MOVES = re.compile(r"##\w*\[|[\r\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e]|\x1b(?!\[[0-9;]*m)")

PROGRAM = """
import json, os, sys, tempfile
from codex_runner.cli.main import main

before = []

def told(arguments):
    before.append((sys.stdout, sys.stderr))  # an older one that is collected closes what the next one writes to
    sys.argv = ["codex-runner", *arguments]
    code, ours = None, (os.dup(1), os.dup(2))
    with tempfile.TemporaryFile() as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, kept in zip((1, 2), ours):
                os.dup2(kept, number)
                os.close(kept)
        file.seek(0)
        return code, file.read().decode("utf-8", "replace")

print(json.dumps([told(arguments) for arguments in json.load(sys.stdin)]))
"""


def test_what_is_refused_says_so_by_its_exit_code_and_nothing_is_obeyed(tmp_path):
    """All of it in one process: what counts is what each command line comes to, not how it was started."""
    (tmp_path / "home").mkdir()
    (tmp_path / "codex-runner.toml").write_text("version = 1\n[jobs.docs]\nprompt = 'hi'\n")
    repository(tmp_path)
    lines = [
        (place, [word.replace("@", json.dumps(text, ensure_ascii=False) if "=" in word else text) for word in place])
        for place in PLACES
        for text in TEXTS
    ]
    environ = {
        **{name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE_"))},
        "HOME": str(tmp_path / "home"),
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "PYTHONUTF8": "1",
        "VAULT_ADDR": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=environ,
        input=json.dumps([words for _, words in lines]),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    came = [(place, words, *each) for (place, words), each in zip(lines, json.loads(done.stdout), strict=True)]
    assert [(words, code, said) for place, words, code, said in came if code not in PLACES[place]] == []
    assert [(words, said) for _, words, _, said in came if obeyed(said) or MOVES.search(said)] == []
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if ".git/" not in str(path)}
    there = {path for path in there if not path.startswith("home/.local")}  # where runs would lie, which is looked at
    assert there == {".git", "README", "codex-runner.toml", "home"}, "something was executed, or left"
