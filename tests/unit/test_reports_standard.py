import hashlib
import json

import pytest
from support.report_states import a_run

from codex_runner.artifacts.standard import standard_artifacts
from codex_runner.domain import event as ev
from codex_runner.domain.folder import RunFolder
from codex_runner.domain.secret import Secret
from codex_runner.domain.state import RunState
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.writer import FileReports

DIFF = b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n"


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def with_reply(text, *more):
    return a_run(ev.AttemptStarted(2), ev.ItemCompleted(ev.AgentMessage("m", text)), *more)


def test_the_patch_and_the_last_message_are_kept(folder):
    kept = standard_artifacts(a_run(), folder, DIFF, Redactor())
    assert [each.path for each in kept] == ["artifacts/changes.patch", "artifacts/last-message.md"]
    assert (folder.artifacts / "changes.patch").read_bytes() == DIFF
    assert (folder.artifacts / "last-message.md").read_bytes() == b"The notes are written.\n"
    for each in kept:
        data = (folder.path / each.path).read_bytes()
        assert (each.size, each.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("patch", [None, b"", b"\n"])
def test_nothing_to_say_leaves_nothing(folder, patch):
    assert standard_artifacts(RunState(), folder, patch, Redactor()) == []
    assert not folder.artifacts.exists()


def test_secrets_are_masked(folder):
    redact = Redactor([Secret("TOKEN", "at-the-token")])
    standard_artifacts(with_reply("it is at-the-token"), folder, DIFF + b"+at-the-token\n", redact)
    for file in folder.artifacts.iterdir():
        data = file.read_bytes()
        assert b"***TOKEN***" in data
        assert b"at-the-token" not in data


def test_each_line_of_codexs_own_record_stays_json(folder):
    redact = Redactor([Secret("TOKEN", "nothing-but-a-token")])  # its first letter is also that of an escape
    rollout = b'{"said":"a\\nothing-but-a-token"}\n{"said":"nothing-but-a-token"}\n'
    kept = standard_artifacts(RunState(), folder, b"", redact, rollout=rollout)
    assert [each.path for each in kept] == ["artifacts/rollout.jsonl"]
    lines = (folder.artifacts / "rollout.jsonl").read_text().splitlines()
    assert [json.loads(line)["said"].removeprefix("a") for line in lines] == ["***TOKEN***", "***TOKEN***"]


@pytest.mark.parametrize(
    ("reply", "structured", "there"),
    [
        ('{"a": 1}', True, True),
        ("[1]\n", True, True),
        ("no JSON", True, False),
        ("[" * 100_000, True, False),
        ('{"a": 1}', False, False),
    ],
)
def test_a_structured_reply_is_kept_as_json(folder, reply, structured, there):
    standard_artifacts(with_reply(reply), folder, None, Redactor(), structured=structured)
    assert (folder.artifacts / "reply.json").exists() is there
    if there:
        assert (folder.artifacts / "reply.json").read_text() == reply.strip() + "\n"


def test_half_of_a_character_in_a_reply_does_not_end_a_run(folder):
    (kept,) = standard_artifacts(with_reply("half \ud800"), folder, None, Redactor())
    assert (folder.path / kept.path).read_text() == "half ?\n"


def test_a_file_of_the_jobs_own_with_such_a_name_stays(folder):
    folder.artifacts.mkdir(parents=True)
    (folder.artifacts / "changes.patch").write_text("the job's own")
    state = a_run(ev.AttemptStarted(2), ev.ArtifactKept("artifacts/changes.patch", 13, "0" * 64))
    (kept,) = standard_artifacts(state, folder, DIFF, Redactor())
    assert kept.path == "artifacts/run-changes.patch"
    assert (folder.artifacts / "changes.patch").read_text() == "the job's own"


def test_doing_it_again_writes_the_same(folder):
    first = standard_artifacts(a_run(), folder, DIFF, Redactor())
    state = with_reply("The notes are written.", *first)
    assert standard_artifacts(state, folder, DIFF, Redactor()) == first


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.path.mkdir()
    folder.artifacts.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="artifacts"):
        standard_artifacts(a_run(), folder, DIFF, Redactor())
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["a.patch", "changes.patch"])
def test_the_page_shows_the_runs_own_patch_rather_than_another(folder, name):
    other = ev.ArtifactKept(f"artifacts/{name}", 1, "0" * 64)
    folder.artifacts.mkdir(parents=True)
    (folder.artifacts / name).write_text("+of the job\n")
    kept = standard_artifacts(with_reply("done", other), folder, DIFF.replace(b"new", b"our new line"), Redactor())
    state = with_reply("done", other, *kept)
    FileReports(folder, records=lambda: ()).write(state)
    assert "our new line" in folder.report.read_text()
