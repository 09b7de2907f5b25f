"""Each error of the model service, played to the real codex: its sentence is known, and has the right class."""

import json
import os
import re
import subprocess

import pytest
import tomli_w
from support.model_errors import CASES, URL

from codex_runner.codex.classes import classify
from codex_runner.demo.scenarios import script
from codex_runner.domain.failure import Failure

pytestmark = pytest.mark.needs_codex

SETTINGS = {
    "check_for_update_on_startup": False,
    "analytics": {"enabled": False},
    "features": {"unbounded_connection_retries": False, "apps": False, "plugins": False, "shell_snapshot": False},
}


@pytest.mark.parametrize("name", CASES)
def test_codex_says_it_in_words_that_are_known(either_codex, codex_home, service, tmp_path, name):
    case = CASES[name]
    service.scenario("error", script(case.answer))
    setup = service.with_provider_key("any", stream_max_retries=0)
    (codex_home / "config.toml").write_text(tomli_w.dumps({**SETTINGS, **setup.config}))
    done = subprocess.run(
        [either_codex, "exec", "--json", "--skip-git-repo-check", "-"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(codex_home), "CODEX_HOME": str(codex_home), **setup.environment},
        input=b"SCN:error",
        capture_output=True,
        timeout=50,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (message,) = [event["error"]["message"] for event in events if event["type"] == "turn.failed"]
    assert re.sub(r"http://127\.0\.0\.1:\d+/\S*/responses", URL, message) in case.sentences
    assert classify(message) is case.failure
    assert done.returncode == 1


# What pipelines branch on: one of each class that the service alone can cause.
ROWS = [
    ("402", 8),
    ("spend-cap-of-a-member", 8),
    ("usage-not-included", 8),
    ("403", 4),
    ("404-model", 3),
    ("404", 7),
    ("407", 3),
    ("409", 7),
    ("413", 1),
    ("422-detail", 1),
    ("400-detail", 1),
    ("502", 7),
    ("content-filter", 1),
    ("output-limit", 1),
    ("418", 1),
]


@pytest.mark.one_case
@pytest.mark.parametrize(("name", "code"), ROWS)
def test_the_exit_code_and_whether_it_is_tried_again(project, service, name, code):
    case = CASES[name]
    service.scenario("error", script(case.answer))
    project.codex["config"]["model_providers"]["scripted"]["stream_max_retries"] = 0
    project.configure(prompt="SCN:error", retry={"attempts": 2, "total": "1s", "least": "1s"})
    run = project.check_reports(project.run(), code)
    project.check_nothing_is_left()
    assert run.run_json["failure"] == (case.failure if code else None)
    # Whoever is tried again says here why there is no time for it.
    assert ("no-retry" in run.warnings) == case.failure.retried
    if case.failure is Failure.UNKNOWN:
        assert "that codex-runner cannot classify" in run.run_json["reason"]
    for report in ("junit.xml", "summary.md"):
        assert case.sentences[-1].partition(",")[0][:40].partition("<")[0] in (run.path / report).read_text()
