"""The first job that `init` writes, run before anybody has said where its key comes from; and jobs that need none."""

from __future__ import annotations

import json
import re

import pytest
from support import commands

from codex_runner.config.first_file import STARTER

pytestmark = pytest.mark.needs_codex

TOLD = "OpenAI's service rejects requests without one"
LINE = '# credential = { kind = "api_key", source = "env" }'


@pytest.fixture
def command(tmp_path, codex_home):
    def command(*arguments, **environ):
        environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(codex_home)} | environ
        return commands.run(*arguments, cwd=tmp_path, environ=environ)

    return command


def the_run(folder):
    (run,) = (json.loads(path.read_text()) for path in folder.glob("codex-runner-out/*/run.json"))
    return run


def test_the_first_job_says_at_once_that_it_has_no_key(command, tmp_path):
    """It took three attempts and two minutes, and the network was blamed."""
    said = command("init")
    assert "uncomment `credential`" in said.stdout
    done = command("run", "overview")
    assert done.code == 4, done.stderr
    assert TOLD in done.stderr
    assert 'credential = { kind = "api_key", source = "env" }' in done.stderr
    run = the_run(tmp_path)
    assert run["attempts"] == []
    assert run["exit_code"] == 4
    assert TOLD in run["reason"]
    looked = command("doctor", "overview")
    assert looked.code == 4
    assert TOLD in looked.text


def test_the_line_that_stands_there_is_what_it_needs(command, tmp_path):
    text = STARTER.replace(LINE, LINE.removeprefix("# "))
    assert text != STARTER
    (tmp_path / "codex-runner.toml").write_text(text)
    done = command("run", "overview")
    assert done.code == 4
    assert "CODEX_API_KEY" in done.stderr
    assert TOLD not in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        'config = { model_provider = "here", model_providers = { here = { name = "here", base_url = "URL" } } }',
        'config = { openai_base_url = "URL" }',
        'env = { OPENAI_BASE_URL = "URL" }',
        'path = "./codex"',
    ],
)
def test_what_may_need_none_is_tried(command, tmp_path, settings, codex):
    """Another service than OpenAI's, or a program of the user's own: only the plan is looked at here."""
    program = tmp_path / "codex"
    program.write_text(f'#!/bin/sh\nexec "{codex}" "$@"\n')
    program.chmod(0o755)
    url = "http://127.0.0.1:9/v1"
    settings = re.sub(r"\bURL\b", url, settings)
    text = STARTER.replace("[jobs.overview]", f"[codex]\n{settings}\n[jobs.overview]\nretry = {{ attempts = 1 }}", 1)
    (tmp_path / "codex-runner.toml").write_text(text)
    done = command("doctor", "overview")
    assert TOLD not in done.text
