"""A real run in which everything has a hostile name, and whose agent answers in every language that something obeys.

Each value must arrive as itself, or be refused by name; nothing of it is ever executed, here or on the host, and no
reader of what the run leaves takes any of it for more than text.
"""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from urllib.parse import unquote_to_bytes

import pytest
from support.far import FarProject, repository
from support.hostile import names, obeyed
from support.records import ATTACKS
from support.runs import Project

from codex_runner.demo.model import ModelService
from codex_runner.demo.model_wire import message, shell
from codex_runner.demo.scenarios import script

pytestmark = pytest.mark.needs_codex

MARKUP = (
    "</pre></script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "![x](https://evil.example/leak) [click](javascript:alert(1)) <details open> https://evil.example",
    "]]> <!-- <![CDATA[ &lt; &#27; [[ATTACHMENT|/etc/passwd]]",
    "```\n~~~\n# Heading\n| a | b |\n@everyone",
    "ghadelimiter_0\nEOF\nresult=succeeded\nGITHUB_OUTPUT<<EOF",
)
REPLY = "\n".join((*ATTACKS, *MARKUP))
FOLDER = "it's a $(touch canary) `touch canary` \"; touch canary; \n::error::x -rf"
PART = "-p 'a\"t$(touch canary)"
BRANCH = "x'\"`$(touch${IFS}canary)`;touch${IFS}canary"
MODEL = "m$(touch canary)\"'\n"

MAKE = """\
python3 - <<'END'
import json, os
os.makedirs("out", exist_ok=True)
for name in json.loads({listed!r}):
    path = os.path.join("out", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"made")
print({reply!r})
END"""


@pytest.fixture
def service():
    made = MAKE.format(listed=json.dumps(names("canary")), reply=REPLY.encode("utf-8", "replace").decode())
    with ModelService("hostile", scenarios={"hostile": script(shell(made), message(REPLY))}) as running:
        yield running


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.needs_sshd), "workspace"])
def anywhere(request, codex, codex_home, service, tmp_path):
    """A project in a folder of a hostile name: here, on a host, or in a workspace there of such a folder and branch."""
    if request.param == "local":
        (tmp_path / FOLDER).mkdir()
        made = Project(tmp_path / FOLDER, codex_home, codex, service)
        repository(made.cwd)
        made.where = {}
    else:
        (tmp_path / "scratch").mkdir()
        made = FarProject(tmp_path / "scratch", codex_home, codex, service)
        folder = made.workspace / FOLDER
        folder.mkdir()
        made.where = {"cwd": str(folder)}
        if request.param == "workspace":
            folder = tmp_path / FOLDER / "-repository"
            (folder / PART).mkdir(parents=True)
            (folder / PART / "file").write_text("")
            made.where = {"cwd": PART, "workspace": {"repo": str(folder), "ref": BRANCH}}
        repository(folder)
        subprocess.run(["git", "-C", folder, "branch", BRANCH], check=True)
    yield made
    made.close()


def test_a_run_in_which_every_name_is_hostile(anywhere, tmp_path):
    check = "$(touch canary) `touch canary` ]]> <b> | \n::error::x"
    anywhere.configure(
        prompt="-- $(touch canary) {{NAME}}",
        sandbox="workspace-write",
        model=MODEL,
        artifacts=["out"],
        allowed_paths=["**/out/**", "out/**"],
        checks=[{"name": check, "run": "ls -A out; ls canary* && exit 1; true"}],
        **anywhere.where,
    )
    anywhere.environ |= {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        **{
            f"GITHUB_{name}": f"$(touch canary)\n::error::{name}"
            for name in ("ACTOR", "JOB", "REF", "REPOSITORY", "SHA")
        },
    }
    value = "`touch canary`\n::error::x"
    anywhere.out = anywhere.out.with_name("-rf $(touch canary)\n::error::out")
    done = anywhere.run("--var", f"NAME={value}", "-o", anywhere.out)
    run = anywhere.check_reports(done, 0)
    anywhere.check_nothing_is_left()

    request = anywhere.service.responses[0]
    assert request.prompt == f"-- $(touch canary) {value}"
    assert request.body["model"] == MODEL
    kept = run.path / "artifacts" / "out"
    made = {unquote_to_bytes(os.fsencode(path.relative_to(kept))) for path in kept.rglob("*") if path.is_file()}
    assert made == {os.fsencode(name) for name in names("canary")}
    assert run.of_kind("changes")[0]["paths"] == len(made)
    assert check.split("\n", maxsplit=1)[0].rstrip() in next(name for name in run.cases if "touch" in name)
    check_that_nothing_obeys(run, done)

    for command, code in (
        (("runs",), 0),
        (("runs", "--json"), 0),
        (("logs", run.run_id), 0),
        (("report", run.run_id), 0),
        (("attach", run.run_id), 0),
        (("cancel", run.run_id), 2),
        (("prune", "--keep-last", "0"), 0),
    ):
        told = anywhere.command(*command, "-o", anywhere.out)
        assert told.code == code, (command, told.stderr)
        check_that_nothing_commands(told)
    assert not list(anywhere.out.glob("2*"))
    everywhere = [*tmp_path.rglob("canary*"), *anywhere.state.rglob("canary*")]
    assert everywhere == [], "something was executed"


def check_that_nothing_commands(done):
    """GitHub would obey our own words alone, and neither it nor a terminal nor another CI system anything else."""
    said = done.stdout + done.stderr
    assert {name for name, _, _ in obeyed(said)} <= {"group", "endgroup", "notice", "warning", "add-mask"}
    titles = [properties.get("title", "codex-runner") for name, properties, _ in obeyed(said) if name != "group"]
    assert all(title.startswith("codex-runner") for title in titles), titles
    assert not re.search(r"##\w*\[", said)
    assert not re.search(r"[\r\x00-\x08\x0b\x0c\x7f-\x9f\u202a-\u202e]|\x1b(?!\[[0-9]*m)", said)


def check_that_nothing_obeys(run, done):
    """Each report parses, has the text, and has it as text."""
    check_that_nothing_commands(done)
    assert run.run_json["reply"] == REPLY.strip()
    page = (run.path / "report.html").read_text()
    assert page.count("&lt;script&gt;alert(1)") >= 2, "the reply, and what the command printed"
    assert not re.search(r"<(script|img|iframe|link|a href=.(?!#))", page)
    assert "[[ATTACHMENT|" not in (run.path / "summary.md").read_text()
    assert "https://evil.example/leak" in ET.tostring(run.junit, encoding="unicode")
    assert "[[ATTACHMENT|/etc" not in (run.path / "junit.xml").read_text()
