"""`codex-runner outcomes`: what became of each pull request, and what an accepted one cost."""

import json
import re
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.forge import APP, PROJECT, answers, pushed
from support.past_runs import DAY, TOKEN, PastRuns

from codex_runner.demo.forge_state import Fault, ForgeReply, Pull

BRANCH = "codex/docs"
NONE = {"merged": 0, "closed": 0, "open": 0, "gone": 0, "unknown": 0}


@pytest.fixture(params=["github", "gitlab"])
def kind(request):
    return request.param


@pytest.fixture
def past(forge, tmp_path, kind):
    return past_runs(forge, tmp_path, kind)


@pytest.fixture
def hub(forge, tmp_path):
    """The same at GitHub alone, for what does not depend on the forge."""
    return past_runs(forge, tmp_path, "github")


def past_runs(forge, folder, kind):
    pushed(forge, BRANCH)
    api, token = (forge.github_api, APP) if kind == "github" else (forge.gitlab_api, PROJECT)
    past = PastRuns(folder / "past", token, api, kind)
    past.target = kind
    add = past.add
    past.add = lambda *words, **more: add(*words, **{"target": kind, **more})
    return past


def opened(forge, count=1, **more):
    for _ in range(count):
        forge.project.add(Pull(0, BRANCH, "main", "t", "bot", **more))


def outcomes(job):
    return [(change["number"], change["outcome"], change["spent"]["runs"]) for change in job["changes"]]


def test_each_pull_request_with_all_its_runs_and_the_cost_of_an_accepted_one(forge, past):
    opened(forge, 4)
    forge.project.merge(1, keep_branch=True, squash=True)
    forge.project.close(2)
    forge.project.pull(3).draft = True
    past.add("delivered", 1, age=9 * DAY)
    past.add("updated", 1, age=8 * DAY)
    past.add("unchanged", 1, age=7.5 * DAY)
    past.add("delivered", 2, age=7 * DAY)
    past.add("closed", 2, age=6 * DAY)
    past.add("delivered", 3, age=5 * DAY)
    past.add("held", 3, age=4 * DAY)
    past.add("delivered", 4, age=3 * DAY)
    past.add("failed", age=2 * DAY)
    past.add(age=DAY, code=9)  # a red run
    past.add("unchanged", age=10)
    job = past.job()
    assert outcomes(job) == [(4, "open", 1), (3, "open", 2), (2, "closed", 2), (1, "merged", 3)]
    _, _, closed, merged = job["changes"]
    assert [change["draft"] for change in job["changes"]] == [False, True, None, None]
    assert [change["held"] for change in job["changes"]] == [False, True, False, False]
    assert (merged["branch_exists"], closed["branch_exists"]) == (None, True)
    assert merged["merged"]
    assert merged["link"].startswith(f"{forge.url}/acme/app/")
    assert job["outcomes"] == {**NONE, "merged": 1, "closed": 1, "open": 2}
    tokens = {"input": 11_000, "cached_input": 4_400, "output": 1_100, "reasoning_output": 0, "total": 12_100}
    assert job["spent"]["tokens"] == tokens
    assert job["spent"]["agent_seconds"] == pytest.approx(44, abs=0.1)
    assert job["spent"]["money"] == [{"amount": "0.0264", "currency": "USD"}]
    assert job["accepted_cost"]["tokens"] == 12_100
    assert job["accepted_cost"]["money"] == [{"amount": "0.026400", "currency": "USD"}]
    assert {request.method for request in forge.requests} == {"GET"}
    assert past.environ[TOKEN] not in json.dumps(job)


def test_the_table_for_people(forge, hub):
    opened(forge, 3)
    forge.project.merge(1, keep_branch=True)
    forge.project.merge(2)
    forge.project.pull(3).state = "open"
    forge.project.pull(3).draft = True
    for number in (1, 2, 3, 3):
        hub.add("delivered" if number < 3 else "held", number, age=10.0 - number)
    said = hub.ask()
    lines = said.stdout.splitlines()
    assert lines[0].split() == ["JOB", "OUTCOME", "RUNS", "TOKENS", "AGENT", "COST", "CHANGE"]
    assert re.fullmatch(rf"docs +open, draft, held, no branch +2 +2,200 +\S+ +0.0048 USD +{forge.url}/\S+/3", lines[1])
    assert [line.split()[1] for line in lines[2:4]] == ["merged", "merged"]
    assert lines[4:] == [
        "",
        "docs: 3 changes: 2 merged, 1 open",
        "  4 runs: 4,000 tokens in (1,600 cached), 400 out, 16s, 0.0096 USD",
        "  cost of an accepted change: 2,200 tokens, 8s, 0.0048 USD",
    ]
    assert said.stderr == ""
    assert "\x1b" not in said.stdout
    assert all(len(line) <= 80 for line in lines[4:])


def test_without_an_accepted_change_there_is_no_cost(forge, hub):
    opened(forge)
    hub.add("delivered", 1)
    job = hub.job()
    assert (job["accepted_cost"], job["accepted_cost_reason"]) == (None, "none accepted")
    assert "cost of an accepted change: none accepted" in hub.ask().stdout


def test_a_run_without_a_price_leaves_money_out(forge, hub):
    opened(forge)
    forge.project.merge(1)
    hub.add("delivered", 1, age=20)
    hub.add("updated", 1, price=None)
    job = hub.job()
    assert (job["spent"]["runs_without_price"], job["accepted_cost"]["money"]) == (1, None)
    assert job["spent"]["money"] == [{"amount": "0.0024", "currency": "USD"}]
    assert "0.0024 USD (1 run without a price)" in hub.ask().stdout


def test_a_window_counts_its_own_runs_and_merges_only(forge, hub):
    opened(forge, 3)
    forge.project.merge(1, keep_branch=True)
    forge.project.merge(2, keep_branch=True)
    forge.project.pull(2).merged_at = "2026-01-31T04:00:00Z"
    forge.project.pull(3).state = "open"
    hub.add("delivered", 3, age=40 * DAY)
    hub.add("delivered", 1, age=20 * DAY)
    hub.add("unchanged", 2, age=10 * DAY)  # nothing to do since the merge of long ago
    job = hub.job(since=30 * DAY)
    assert outcomes(job) == [(1, "merged", 1)]
    assert (job["spent"]["runs"], job["accepted_cost"]["tokens"]) == (2, 2_200)
    assert outcomes(hub.job()) == [(2, "merged", 1), (1, "merged", 1), (3, "open", 1)]
    assert "--since" in hub.ask("--since", "yesterday", code=2).stderr


def test_jobs_are_apart_and_one_can_be_chosen(forge, hub):
    opened(forge, 2)
    hub.configure("docs", "notes", "other")
    hub.add("delivered", 1)
    hub.add("delivered", 2, job="notes")
    hub.add(job="other")
    assert [(job["job"], outcomes(job)) for job in hub.jobs()] == [
        ("docs", [(1, "open", 1)]), ("notes", [(2, "open", 1)]), ("other", []),
    ]  # fmt: skip
    assert outcomes(hub.job(job="notes")) == [(2, "open", 1)]
    assert "no delivery of the job nothing in" in hub.ask("--job", "nothing").stderr


def test_a_later_delivery_counts(forge, hub):
    opened(forge)
    folder = hub.add("failed")
    later = {"state": "delivered", "target": "github", "repository": "acme/app", "branch": BRANCH, "number": 1}
    folder.delivery.write_text(json.dumps(later))
    assert outcomes(hub.job()) == [(1, "open", 1)]
    folder.delivery.write_text(json.dumps({"state": "planned"}))
    assert hub.job()["changes"] == []


# --- what is not known ------------------------------------------------------------------------------------------------


def test_one_that_is_deleted_is_gone(forge, past):
    opened(forge, 2)
    forge.project.merge(2)
    forge.project.remove(1)
    past.add("delivered", 1, age=20)
    past.add("delivered", 2)
    job = past.job()
    assert job["outcomes"] == {**NONE, "merged": 1, "gone": 1}
    assert job["accepted_cost"] is None
    assert "no pull request 1" in job["changes"][1]["reason"]


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (ForgeReply(401, b'{"message": "Bad credentials"}'), 4, "refused the token"),
        (ForgeReply(403, b'{"message": "Resource not accessible by integration"}'), 13, "403"),
        (ForgeReply(301, b"{}"), 13, "redirects"),
        (ForgeReply(200, b"<html>"), 13, "not understood"),
        (ForgeReply(501, b"{}"), 13, "501"),
    ],
    ids=["401", "403", "moved", "garbage", "501"],
)
def test_a_forge_that_cannot_be_asked_is_unknown_and_no_success(forge, past, reply, code, said):
    opened(forge)
    past.add("delivered", 1)
    forge.answer = lambda *_: reply
    job = past.job(code=code)
    assert job["outcomes"] == {**NONE, "unknown": 1}
    assert (job["changes"][0]["exit_code"], job["accepted_cost"]) == (code, None)
    assert said in job["changes"][0]["reason"]


def test_a_forge_that_is_down_is_asked_once_and_not_for_each(forge, hub):
    opened(forge, 3)
    for number in (1, 2, 3):
        hub.add("delivered", number)
    forge.faults = answers(401, {"message": "Bad credentials"})
    job = hub.job(code=4)
    assert job["outcomes"] == {**NONE, "unknown": 3}
    assert len(forge.requests) == 1


def test_a_forge_that_is_down_is_asked_by_one_job(forge, hub):
    hub.configure("docs", "notes")
    hub.add("delivered", 1)
    hub.add("delivered", 2, job="notes")
    forge.faults = answers(429, {"message": "later"}, retry_after="3600")
    docs, notes = hub.jobs(code=13)
    assert (outcomes(docs), outcomes(notes)) == ([(1, "unknown", 1)], [(2, "unknown", 1)])
    assert "later" in notes["changes"][0]["reason"]
    assert len(forge.requests) == 1


def test_what_is_not_known_is_told_once_with_its_remedy(forge, hub):
    opened(forge, 4)
    forge.project.remove(4)
    for number in (1, 2, 3, 4):
        hub.add("delivered", number, age=100 - number)
    forge.faults = answers(401, {"message": "Bad credentials"}, first=3)
    said = hub.ask(code=4)
    assert [line.split()[1] for line in said.stdout.splitlines()[1:5]] == ["gone", "unknown", "unknown", "unknown"]
    assert said.stderr.splitlines() == [
        "codex-runner: docs: 1 change not known: acme/app has no pull request 4 any more: it was deleted.",
        "codex-runner: docs: 3 changes not known: GitHub refused the token: 401 Bad credentials.",
        "  Check the delivery's `credential`: its token may have expired, or belong to another forge.",
    ]
    assert "cost of an accepted change: not known" in said.stdout


def test_one_bad_answer_leaves_the_others_alone(forge, hub):
    opened(forge, 3)
    for number in (1, 2, 3):
        hub.add("delivered", number, age=100 - number)
    forge.faults = answers(403, {"message": "Resource not accessible"}, first=3)
    assert outcomes(hub.job(code=13)) == [(3, "open", 1), (2, "unknown", 1), (1, "open", 1)]


def test_another_pull_request_of_the_number_is_unknown(forge, hub):
    opened(forge)
    hub.add("delivered", 1, branch="codex/other")
    job = hub.job(code=13)
    assert "not from the branch codex/other" in job["changes"][0]["reason"]


def test_a_job_that_is_not_configured_any_more(forge, hub):
    opened(forge, 2)
    hub.add("delivered", 1)
    hub.add("delivered", 2, job="former")
    docs, former = hub.jobs(code=3)
    assert outcomes(docs) == [(1, "open", 1)]
    assert outcomes(former) == [(2, "unknown", 1)]
    assert "has no job 'former'" in former["changes"][0]["reason"]
    hub.configure("docs", "former")
    text = (hub.folder / "codex-runner.toml").read_text()
    (hub.folder / "codex-runner.toml").write_text(text.split("[jobs.former.delivery]")[0])
    assert "has no `delivery`" in hub.job(job="former", code=3)["changes"][0]["reason"]
    elsewhere = hub.folder / "elsewhere"
    elsewhere.mkdir()
    hub.folder = elsewhere
    (elsewhere.parent / "codex-runner.toml").unlink()
    assert "no configuration" in hub.ask("-o", hub.out, "--job", "docs", code=3).stderr


def test_a_missing_token_is_a_credential_error(forge, hub):
    hub.add("delivered", 1)
    del hub.environ[TOKEN]
    assert hub.job(code=4)["changes"][0]["exit_code"] == 4
    assert forge.requests == []


def test_a_stranger_s_pipeline_gets_no_token(forge, hub):
    hub.add("delivered", 1)
    event = hub.folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"repo": {"full_name": "eve/app"}}}}))
    hub.environ |= {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REPOSITORY": "acme/app",
        "GITHUB_EVENT_PATH": str(event), "GITHUB_ACTOR": "eve", "GITHUB_API_URL": forge.github_api,
    }  # fmt: skip
    assert "no credential" in hub.job(code=4)["changes"][0]["reason"]
    assert forge.requests == []


# --- hostile, damaged, many -------------------------------------------------------------------------------------------


def test_records_do_not_choose_where_the_token_goes(forge, hub):
    """A record that names another server, another kind of forge, another path: none gets a request with the token."""
    with socket.create_server(("127.0.0.1", 0)) as eve:
        eve.setblocking(False)
        place = f"127.0.0.1:{eve.getsockname()[1]}"
        opened(forge)
        hub.add("delivered", 1, link=f"http://{place}/acme/app/pull/1")
        hub.add("delivered", 2, target="gitlab", link=f"http://{place}/acme/app/-/merge_requests/2")
        hub.add("delivered", repository=f"http://{place}/acme/app.git", target="git", commit="a" * 40)
        hub.add("delivered", 3, repository="../../../user", age=5)
        hub.add("delivered", 4, repository=f"@{place}/app", age=6)
        job = hub.job(code=3)
        with pytest.raises(BlockingIOError):
            eve.accept()
    assert job["outcomes"] == {**NONE, "open": 1, "unknown": 4}
    assert {request.path for request in forge.requests} <= {
        "/api/v3/repos/acme/app/pulls/1", f"/api/v3/repos/acme/app/git/ref/heads/{BRANCH}",
    }  # fmt: skip


@pytest.mark.parametrize(
    "around",
    [{}, {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "schedule", "CI_API_V4_URL": "https://gitlab.example.com/api/v4"}],
)
def test_without_an_api_a_token_goes_to_no_guessed_server(hub, around):
    hub.add("delivered", 1, link="https://git.example.com/acme/app/pull/1")
    hub.environ |= around
    del hub.delivery["api"]
    hub.configure()
    job = hub.job(code=3)
    assert "does not tell the API of git.example.com" in job["changes"][0]["reason"]


def test_a_record_does_not_tell_the_forge(hub):
    hub.add("delivered", 1)  # at github.com
    del hub.delivery["api"], hub.delivery["target"]
    hub.configure()
    assert "delivery.target: missing" in hub.job(code=3)["changes"][0]["reason"]


HOSTILE = "https://x.example/\x1b[31m\x1b]8;;evil\x07](javascript:1)<script>\n::error::fake\u202e"


def test_a_hostile_link_commands_nothing_and_a_secret_in_it_is_hidden(forge, hub):
    opened(forge, 2, body="\x1b[2J ::set-output name=x::y")
    forge.project.pull(1).title = HOSTILE
    hub.add("delivered", 1, age=20)
    hub.add("delivered", 2)
    answer = forge._github._pull

    def hostile(request, token, number):
        reply = answer(request, token, number)
        document = json.loads(reply.body)
        document["html_url"] = HOSTILE if number == "1" else f"https://x.example/?t={APP}"
        return ForgeReply(200, json.dumps(document).encode())

    forge._github._pull = hostile
    said = hub.ask()
    assert said.stdout.count("\n") == 7
    assert not re.search("[\x1b\x07\u202e]|^::error", said.text, re.MULTILINE)
    assert APP not in said.text
    assert "x.example/?t=" in said.stdout
    document = hub.ask("--json")
    assert APP not in document.text
    assert "\x1b" not in document.stdout
    forge.answer = lambda *_: ForgeReply(403, json.dumps({"message": f"{HOSTILE} {APP}"}).encode())
    refused = hub.ask(code=13)
    assert APP not in refused.text
    assert not any(character in refused.text for character in "\x1b\x07\u202e")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'{"version": 1',
        b"[]",
        b"[" * 100_000,
        b'{"version": 2, "exit_code": 0}',
        b'{"version": 1, "exit_code": 0}',
    ],
    ids=["empty", "torn", "a list", "deep", "another version", "without its keys"],
)
def test_a_damaged_run_json_is_read_from_the_events(forge, hub, damage):
    opened(forge)
    folder = hub.add("delivered", 1)
    folder.run_json.write_bytes(damage)
    job = hub.job()
    assert outcomes(job) == [(1, "open", 1)]
    assert job["spent"]["tokens"]["total"] == 1_100


@pytest.mark.parametrize(
    "change", [{"number": "1; x"}, {"number": True}, {"target": "svn"}, {"branch": 7}, {"state": "odd"}, {"link": None}]
)
def test_a_delivery_that_makes_no_sense_is_not_believed(forge, hub, change):
    opened(forge)
    folder = hub.add("delivered", 1)
    document = json.loads(folder.run_json.read_bytes())
    document["delivery"] |= change
    folder.run_json.write_text(json.dumps(document))
    assert outcomes(hub.job()) == [(1, "open", 1)]  # by the events
    folder.events.write_bytes(folder.events.read_bytes().replace(b'"schema":1', b'"schema":9'))
    job = hub.job(code=3)
    assert (job["changes"], job["unreadable_runs"]) == ([], [folder.run_id])


def test_runs_that_cannot_be_read_leave_the_cost_unknown(forge, hub):
    opened(forge)
    forge.project.merge(1)
    hub.add("delivered", 1)
    bad = hub.add("delivered", 1, age=20)
    bad.run_json.unlink()
    bad.events.write_bytes(b'{"schema":99,"seq":1}\n' + bad.events.read_bytes())
    job = hub.job(code=3)
    assert (job["unreadable_runs"], job["accepted_cost"]) == ([bad.run_id], None)
    assert "1 run cannot be read" in hub.ask(code=3).stderr


def test_a_run_that_is_killed_counts_with_what_it_has_spent(forge, hub):
    opened(forge)
    forge.project.merge(1)
    hub.add("delivered", 1)
    killed = hub.add(age=30)
    killed.run_json.unlink()
    lines = killed.events.read_bytes().splitlines(keepends=True)
    killed.events.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])
    assert hub.job()["spent"]["tokens"]["total"] == 2_200


def test_five_hundred_runs(forge, hub):
    opened(forge, 2)
    forge.project.merge(1, keep_branch=True)
    first = hub.add("updated", 1, age=700)
    document = first.run_json.read_bytes()
    for number in range(499):
        name = f"20260101T{number // 60:02d}{number % 60:02d}00Z-docs-{number:08x}"
        folder = hub.out / name
        folder.mkdir()
        (folder / "events.jsonl").touch()
        (folder / "run.json").write_bytes(document.replace(first.run_id.encode(), name.encode()))
    job = hub.job()
    assert outcomes(job) == [(1, "merged", 500)]
    assert job["accepted_cost"]["tokens"] == 550_000
    assert len(forge.requests) == 1


def test_a_folder_without_runs(hub):
    assert hub.ask("--json").json["jobs"] == []
    assert "does not exist" in hub.ask("-o", hub.folder / "none").stderr


# --- metrics ----------------------------------------------------------------------------------------------------------


def metrics(folder):
    found = {}
    for path in folder.glob("*.prom"):
        for family in text_string_to_metric_families(path.read_text()):
            for sample in family.samples:
                labels = [value for name, value in sample.labels.items() if name != "codex_job"]
                found[sample.name.removeprefix("codex_runner_delivery_"), sample.labels["codex_job"], *labels] = (
                    sample.value
                )
    return found


def test_metrics(forge, hub):
    opened(forge, 2)
    forge.project.merge(1, keep_branch=True)
    forge.project.pull(2).state = "open"
    folder = hub.folder / "metrics"
    hub.add("delivered", 1, age=20)
    hub.add("delivered", 2)
    assert "[metrics]" in hub.ask("--metrics", code=3).text
    hub.configure(metrics={"folder": str(folder)})
    hub.ask()
    assert not folder.exists()
    hub.ask("--metrics", "--since", "30d")
    assert [path.name for path in folder.iterdir()] == ["codex_runner-delivery_docs.prom"]
    assert (folder / "codex_runner-delivery_docs.prom").stat().st_mode & 0o777 == 0o644
    found = metrics(folder)
    assert {key[2]: value for key, value in found.items() if key[0] == "outcomes"} == {**NONE, "merged": 1, "open": 1}
    assert found["tokens", "docs", "input"] == 2_000
    assert found["money", "docs", "USD"] == pytest.approx(0.0048)
    assert found["accepted_cost_tokens", "docs"] == 2_200
    assert found["accepted_cost_money", "docs", "USD"] == pytest.approx(0.0048)
    assert found["window_seconds", "docs"] == pytest.approx(30 * DAY, abs=60)
    forge.faults = {len(forge.requests) + 1: Fault(reply=ForgeReply(403, b"{}"))}
    hub.ask("--metrics", code=13)
    found = metrics(folder)
    assert found["outcomes", "docs", "unknown"] == 1
    assert ("accepted_cost_tokens", "docs") not in found
    (folder / "codex_runner-delivery_docs.prom").unlink()
    folder.rmdir()
    folder.touch()
    assert "metrics.folder" in hub.ask("--metrics", code=3).stderr
