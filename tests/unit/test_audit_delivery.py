"""The audit of a run that delivered: the commit is a subject, and a later delivery does not accuse run.json."""

import json

from support.past_runs import PastRuns
from support.records import records

from codex_runner.app.audit import audit_run
from codex_runner.audit.statement import statement
from codex_runner.domain import event as ev
from codex_runner.domain.delivery import CommitWay, Delivered, DeliveryState, ForgeKind
from codex_runner.domain.event import record_to_json
from codex_runner.sinks.jsonl import read_records

COMMIT = "843b349cc7464234da3ea1041740146f42a0835d"


def plain(text):
    return text


def delivered(folder):
    runs = PastRuns(folder)
    return runs.add("delivered", 7, commit=COMMIT, way=CommitWay.PUSH, signed=False)


def test_the_delivered_commit_is_the_subject(tmp_path):
    found = audit_run(delivered(tmp_path))
    assert found.problems == []
    document = found.document(plain)
    said = json.loads(statement(found, document))
    assert said["subject"] == [{"name": "https://github.com/acme/app/pull/7", "digest": {"gitCommit": COMMIT}}]
    touched = document["touched"]
    assert touched["delivery_way"]["value"] == "push"
    assert touched["delivery_signed"] == {"value": False, "source": "events.jsonl record 7, delivery.signed"}
    assert touched["delivery_branch"]["value"] == "codex/docs"


def later(folder):
    """Add what `codex-runner deliver` records, as if it was killed before it wrote the reports."""
    kept = list(read_records(folder.events))
    event = ev.DeliveryEnded(Delivered(DeliveryState.DELIVERED, ForgeKind.GITHUB, "acme/app", later=True))
    (last,) = records([event], start=kept[-1].time)
    line = record_to_json(last) | {"seq": kept[-1].seq + 1}
    with folder.events.open("a") as file:
        file.write(json.dumps(line) + "\n")


def test_a_later_delivery_that_run_json_lacks_is_no_difference(tmp_path):
    folder = delivered(tmp_path)
    later(folder)
    assert audit_run(folder).problems == []


def test_another_version_may_have_said_it_in_other_words(tmp_path):
    folder = delivered(tmp_path)
    document = json.loads(folder.run_json.read_text())
    folder.run_json.write_text(json.dumps(document | {"remedy": "in the words of another version"}))
    assert audit_run(folder).problems == []
    folder.run_json.write_text(json.dumps(document | {"exit_code": 0, "reason": "made up"}))
    found = audit_run(folder)
    assert "reason" in found.problems[0]
