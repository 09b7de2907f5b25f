import io

import pytest
from support.hostile import obeyed
from support.records import HOSTILE, event_samples, play

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending
from codex_runner.domain.secret import Secret
from codex_runner.sinks.github import GitHubLog

BEGIN = [ev.RunStarted("r", "docs", "local"), ev.AttemptStarted(1)]
END = [ev.AttemptEnded(1, Ending(None, "")), ev.RunEnded(0, "succeeded", "done")]


def commands(events, **settings):
    stream = io.StringIO()
    play(GitHubLog(stream, **settings), events)
    return [line for line in stream.getvalue().splitlines() if line.startswith("::")]


def test_each_attempt_is_a_group():
    failed = ev.AttemptEnded(1, Ending(Failure.CAPACITY, "busy"))
    assert commands([*BEGIN, failed, ev.AttemptStarted(2), *END]) == [
        "::group::Attempt 1: docs",
        "::endgroup::",
        "::warning::Attempt 1 failed (capacity): busy",
        "::group::Attempt 2: docs",
        "::endgroup::",
        "::notice title=codex-runner%3A docs::succeeded: done",
    ]


def test_a_group_is_closed_whatever_happens():
    for events in ([*BEGIN], [*BEGIN, ev.AttemptStarted(1, attached=True)], [*BEGIN, ev.RunEnded(1, "failed", "x")]):
        found = [line.split("::")[1] for line in commands(events)]
        assert found.count("group") == found.count("endgroup")


def test_values_are_encoded():
    lines = commands([*BEGIN, ev.Warned("a:b,c%", "100%, a: b\nsecond\rlast")])
    assert lines[1] == "::warning title=codex-runner%3A a%3Ab%2Cc%25::100%25, a: b%0Alast"
    assert obeyed(lines[1]) == [("warning", {"title": "codex-runner: a:b,c%"}, "100%, a: b\nlast")]


def test_a_reader_like_githubs_obeys_only_what_is_ours():
    stream = io.StringIO()
    play(GitHubLog(stream), event_samples(HOSTILE))
    names = {name for name, _, _ in obeyed(stream.getvalue())}
    assert names == {"group", "endgroup", "notice", "warning", "error"} - {"notice"}


def test_at_most_ten_annotations_a_level_and_the_verdict_is_one_of_them():
    events = [*BEGIN]
    events += [ev.Warned("w", f"warning {n}") for n in range(30)]
    events += [ev.Guarded(f"g{n}", False, f"error {n}") for n in range(30)]
    events += [ev.AttemptEnded(1, Ending(None, "")), ev.RunEnded(12, "failed", "a leak")]
    lines = commands(events)
    assert sum(line.startswith("::warning") for line in lines) == 10
    assert sum(line.startswith("::error") for line in lines) == 10
    assert lines[-1] == "::error title=codex-runner%3A docs::failed: a leak"
    stream = io.StringIO()
    play(GitHubLog(stream), events)
    assert "warning 29" in stream.getvalue(), "what is not annotated is still a line"


def test_a_line_that_is_too_long_is_annotated():
    noise = [ev.Unparsed("not JSON", "x", 1, count=7)]
    lines = commands([*BEGIN, *noise, ev.Unparsed("truncated", '{"type":"x"', 209_715_260), *END])
    found = [data for level, _, data in obeyed("\n".join(lines)) if level == "warning"]
    assert found == ['codex printed a line of 209,715,260 bytes, which is too long to read: {"type":"x"']


def test_failing_checks_are_annotated_where_they_fail():
    output = (
        "./src/a.py:12:3: E501 too long: 100%\nsrc/a.py:12:3: E501 again\nnoise\n"
        "docs/b.md:7 broken link\n/etc/passwd:1: x\n../up.py:2: x\nhttp://host:80 x\n12:30 time\n"
    )
    lines = commands([*BEGIN, *END[:1], ev.CheckEnded("lint", False, 1, 1.0, output)], path_prefix="sub/")
    found = [(properties.get("file"), properties.get("line"), data) for _, properties, data in obeyed("\n".join(lines))]
    assert found[2][2].startswith("Check lint failed with exit code 1.\n./src/a.py:12:3")
    assert found[3:] == [("sub/src/a.py", "12", "E501 too long: 100%"), ("sub/docs/b.md", "7", "broken link")]


def test_secrets_are_masked_whole_and_part_by_part():
    stream = io.StringIO()
    log = GitHubLog(stream)
    assert log.add_mask([Secret("KEY", "-----BEGIN\nab%cd-efgh-1\r\n}\nend"), Secret("EMPTY", ""), Secret("T", "at-1")])
    assert stream.getvalue().splitlines() == [
        "::add-mask::-----BEGIN%0Aab%25cd-efgh-1%0D%0A}%0Aend",
        "::add-mask::-----BEGIN",
        "::add-mask::ab%25cd-efgh-1",
        "::add-mask::at-1",
    ]


def test_a_mask_is_never_written_into_a_file(tmp_path):
    path = tmp_path / "log"
    with path.open("w") as stream:
        assert GitHubLog(stream).add_mask([Secret("T", "at-1234")]) is False
    assert path.read_text() == ""


@pytest.mark.parametrize("limit", [1, 5000])
def test_the_bound_leaves_commands_whole(limit):
    noise = [ev.ItemCompleted(ev.AgentMessage("i", "x" * 400))] * 100
    stream = io.StringIO()
    play(GitHubLog(stream, limit=limit), [*BEGIN, *noise, *END])
    assert len(stream.getvalue()) < limit + 2000
    assert [name for name, _, _ in obeyed(stream.getvalue())] == ["group", "endgroup", "notice"]


def test_all_annotations_together_are_bounded():
    huge = "%" * 100_000
    events = [
        *BEGIN,
        *[ev.Warned("w", huge)] * 20,
        *[ev.Guarded("g", False, huge)] * 20,
        ev.RunEnded(1, "failed", huge),
    ]
    assert sum(map(len, commands(events))) < 20 * 3 * 4000 + 3000
