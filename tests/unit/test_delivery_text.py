"""Title, body, message and branch: filled, neutral, and as long as a forge takes at most."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.markdown import has_effect, parts

from codex_runner.delivery import record, text
from codex_runner.delivery.text import BOUNDS, Words
from codex_runner.domain.branch_name import branch_problem
from codex_runner.domain.delivery import DeliveryRecord, ForgeKind
from codex_runner.domain.delivery_spec import DeliverySpec, DeliveryText

RECORD = DeliveryRecord("acme/app/docs", "github:acme/app", "r-1", "a" * 40, "b" * 40, "c" * 40)
WORDS = Words(
    "acme/app/docs",
    "docs",
    "r-1",
    "## **Updated** the docs for @ada\n\nFixes #3",
    "docs/a.md | +3 -2\n1 file changed",
    "https://github.com/acme/app/actions/runs/1",
)


def words(**more):
    return dataclasses.replace(WORDS, **more)


def test_what_comes_without_templates():
    pull = text.pull_text(DeliverySpec(), WORDS, ForgeKind.GITHUB, RECORD)
    assert pull.title == "docs: Updated the docs for (at)ada"
    assert pull.draft
    assert record.read(pull.body) == RECORD
    assert pull.body.split("\n", 1)[1] == (
        "## **Updated** the docs for (at)ada\n\nFixes `#3`\n\n### Changes\n\n"
        "```\ndocs/a.md | +3 -2\n1 file changed\n```\n\n"
        "Job docs of acme/app/docs, run r-1. https://github.com/acme/app/actions/runs/1\n<!-- codex-runner:end -->\n"
    )
    assert text.commit_message(DeliverySpec(), WORDS) == "docs: Updated the docs for (at)ada\n"
    assert text.branch(DeliverySpec(), WORDS) == "codex/acme/app/docs"


def test_the_users_own_words_stay_as_they_are():
    spec = DeliverySpec(
        title="{{TOPIC}} [skip ci]",
        commit_message="{{JOB}}: {{SUMMARY}}\n\n{{SUMMARY}}\n\nFixes #1\nSigned-off-by: Bot <bot@example.com>",
        body="@acme/docs, see <b>this</b>:\n{{SUMMARY}}\nSaid {{TOPIC}} in \\{{JOB}}. ![x](y)",
        branch="bot/{{TOPIC}}/{{JOB}}",
    )
    said = words(names={"TOPIC": "@maps <i>"})
    pull = text.pull_text(spec, said, ForgeKind.GITLAB, RECORD)
    assert pull.title == "(at)maps `<i>` [skip ci]"
    assert "@acme/docs, see <b>this</b>:\n\n## **Updated**" in pull.body
    assert "Fixes `#3`\n\nSaid (at)maps `\u2039i>` in {{JOB}}. ![x](y)\n" in pull.body
    assert text.commit_message(spec, said) == (
        "docs: Updated the docs for (at)ada\n\n## **Updated** the docs for (at)ada\n\nFixes `#3`\n\n"
        "Fixes #1\nSigned-off-by: Bot <bot@example.com>\n"
    )
    assert text.branch(spec, said) == "bot/maps-i/docs"


def test_mentions_may_be_meant():
    spec = DeliverySpec(text=DeliveryText(mentions=True))
    assert text.pull_text(spec, WORDS, ForgeKind.GITHUB, RECORD).title == "docs: Updated the docs for @ada"


@pytest.mark.parametrize(
    "template",
    ["```\n{{SUMMARY}}\n```", "<pre>\n{{SUMMARY}}\n</pre>", "x {{SUMMARY}}", "> {{SUMMARY}}", "<td>{{SUMMARY}}</td>"],
)
def test_where_no_block_may_stand_the_summary_is_one_line(template):
    """A block of code there would end the template's own, and what it holds would be read as Markdown or HTML."""
    said = words(summary="```\n<img src=x>\n```\n<img src=y> ```")
    whole = text.body(DeliverySpec(body=template), said, BOUNDS[ForgeKind.GITHUB], 10_000)
    assert "\n<img" not in whole
    assert [kind for kind in has_effect(whole.replace("<td>", "").replace("</td>", "")) if kind == "image"] == []
    assert "<img src=y>" not in whole or "`<img src=y>`" in whole


def test_nothing_to_say():
    pull = text.pull_text(DeliverySpec(), words(summary=" \n", changes="", link=""), ForgeKind.GITHUB, RECORD)
    assert pull.title == "docs: The agent gave no summary."
    assert "\nThe agent gave no summary.\n\n### Changes\n\nNone.\n" in pull.body


def test_a_title_is_no_draft_by_the_agents_words():
    spec = DeliverySpec(title="{{SUMMARY}}", draft=False)
    for said in ("Draft: x", "(draft) x", "wip: x"):
        assert text.pull_text(spec, words(summary=said), ForgeKind.GITLAB, RECORD).title == f"docs: {said}"
    assert text.pull_text(spec, words(summary="[WIP] x"), ForgeKind.GITLAB, RECORD).title == "`[WIP]` x"
    assert text.pull_text(spec, words(summary="Drafted x"), ForgeKind.GITLAB, RECORD).title == "Drafted x"


@pytest.mark.parametrize(
    ("summary", "first"),
    [
        ("\n\n# Head #\n\nmore", "Head"),
        ("- **one** thing\n- two", "one thing"),
        ("> quoted\nb", "quoted"),
        ("***\n```python\nx = 1\n```", "x = 1"),
        ("Done.", "Done."),
    ],
)
def test_a_title_has_the_first_line(summary, first):
    assert text.title(DeliverySpec(), words(summary=summary), BOUNDS[ForgeKind.GITHUB]) == f"docs: {first}"


def test_a_variable_takes_no_name_of_the_runners():
    said = words(names={"JOB": "other", "RUN": "r-9", "SUMMARY": "s"})
    assert text.commit_message(DeliverySpec(commit_message="{{JOB}} {{RUN}}"), said) == "docs r-1\n"
    assert text.branch(DeliverySpec(branch="{{JOB}}"), said) == "docs"


def test_a_link_that_is_none_is_words():
    pull = text.pull_text(DeliverySpec(), words(link="javascript:@x <b>"), ForgeKind.GITHUB, RECORD)
    assert "javascript:(at)x `<b>`" in pull.body


LONG = {
    "a line of emoji": "🌈" * 70_000,
    "many lines": "a line with @words\n" * 4_000,
    "a block of code": "```python\n" + "x = '<b>'\n" * 8_000 + "```\n",
    "one line of code": "```\n" + "`<img> " * 10_000,
    "one line of markup": "<img>`#12 [a](b) " * 4_500,
}


@pytest.mark.parametrize(
    ("kind", "name", "times"),
    [
        *((ForgeKind.GITHUB, name, 1) for name in LONG),
        pytest.param(ForgeKind.GITLAB, "many lines", 16, marks=pytest.mark.thorough),
    ],
)
def test_what_is_too_long_is_cut_and_says_so(kind, name, times):
    summary, bounds = LONG[name] * times, BOUNDS[kind]
    said = words(summary=summary, changes="docs/a.md | +1\n" * 5_000 * times)
    pull = text.pull_text(DeliverySpec(), said, kind, RECORD)
    assert bounds.measure(pull.body) <= bounds.body
    assert len(pull.title) <= bounds.title
    assert record.read(pull.body) == RECORD
    assert f"*The rest is cut: a text holds at most {bounds.said} here." in pull.body
    assert WORDS.link in pull.body
    inner = pull.body.split("\n", 1)[1].replace("<!-- codex-runner:end -->", "")
    assert has_effect(inner) == []
    assert [part.content for part in parts(inner) if part.type == "text"].count("Changes") == 1


@given(st.text(max_size=300), st.integers(0, 300))
def test_no_bound_is_passed_and_no_effect_comes_back(summary, most):
    said = words(summary=f"`#1` {summary} ```\n<b>\n```\n@x", changes="a\nb")
    for bounds in BOUNDS.values():
        whole = text.body(DeliverySpec(), said, bounds, most)
        assert bounds.measure(whole) <= most
        assert has_effect(whole) == []
        assert len(text.title(DeliverySpec(), said, dataclasses.replace(bounds, title=40))) <= 40


@given(st.text(), st.text())
def test_every_name_of_a_branch_is_one(workflow, topic):
    spec = DeliverySpec(branch="codex/{{WORKFLOW}}-{{TOPIC}}")
    assert branch_problem(text.branch(spec, words(workflow=workflow, names={"TOPIC": topic}))) is None


def test_what_others_added_stays():
    first = text.pull_text(DeliverySpec(), WORDS, ForgeKind.GITHUB, RECORD).body
    later = dataclasses.replace(RECORD, tip="d" * 40)
    edited = first.replace("\n", "\r\n") + "\r\nReviewed. @bob\r\n"
    body = text.pull_text(DeliverySpec(), words(summary="New words"), ForgeKind.GITHUB, later, edited).body
    assert record.read(body) == later
    assert "New words" in body
    assert "Updated" not in body
    assert body.endswith("\nReviewed. @bob\n")
    huge = first + "x" * 60_000
    body = text.pull_text(DeliverySpec(), WORDS, ForgeKind.GITHUB, later, huge).body
    assert len(body) < 2000
