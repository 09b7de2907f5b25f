from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.report_states import HOSTILE, a_run, exited, records, states

from codex_runner.domain import event as ev
from codex_runner.domain.failure import Failure
from codex_runner.domain.run import Ending
from codex_runner.domain.state import fold
from codex_runner.reports.summary import append_step_summary, code, escaped, fenced, sentence, summary


def fences(text: str) -> tuple[list[str], list[str]]:
    """Read Markdown as CommonMark does: the contents of its fences, and the lines outside of them."""
    inside, outside, fence, content = [], [], "", []
    for line in text.split("\n"):
        mark = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if fence and mark and not mark[2].strip() and mark[1].startswith(fence):
            inside.append("\n".join(content))
            fence, content = "", []
        elif fence:
            content.append(line)
        elif mark and not ("`" in mark[2] and mark[1][0] == "`"):
            fence = mark[1]
        else:
            outside.append(line)
    assert not fence, "a fence was left open"
    return inside, outside


def kinds(text: str) -> set[str]:
    """Everything that a real Markdown reader finds in a text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return {token.type for block in tokens for token in (block, *(block.children or ()))}


def test_a_run_that_passed():
    text = summary(a_run())
    assert text.startswith("## ✅ release-notes: succeeded\n")
    for part in (
        "the agent completed its turn",
        "Write the release notes.",
        "The notes are written.",
        "| docs build | ✅ exit 0 | 1.5s |",
        "RELEASE_NOTES.md | added +12 -0\n```",
        "| 1 | the model has no capacity | exit code 1 |",
        "| revocation | ✅ kept | the login is revoked |",
        "`artifacts/RELEASE_NOTES.md` (1.2 kB)",
        "1,050 tokens: 1,000 in (800 cached), 50 out (10 reasoning). 1 command, 0 failed.",
        "model `gpt-5.5`",
    ):
        assert part in text, part


def test_a_run_that_failed_says_why_and_what_to_do():
    state = a_run(
        ev.AttemptStarted(2),
        ev.AttemptEnded(2, Ending(Failure.QUOTA, "You've hit your usage limit."), exited(1)),
        exit_code=8,
        reason="You've hit your usage limit.",
        remedy="Wait until the limit resets, or raise `quota`.",
    )
    text = summary(state)
    assert "## ❌ release-notes: failed (quota)\n" in text
    assert "You've hit your usage limit." in text
    assert "\nexit code 8 · " in text
    assert "**What to do:** Wait until the limit resets, or raise `quota`.\n" in text
    assert "| docs build | ⏭️ not reached |" in text


def test_a_run_that_goes_on():
    assert "## ⏳ j: running" in summary(fold(records([ev.RunStarted("r", "j", "local")])))


@pytest.mark.parametrize("ticks", ["```", "````text", "`" * 50, "~~~", "\n```\n# Not a heading\n"])
def test_model_text_cannot_break_out_of_its_fence(ticks):
    state = a_run(
        ev.AttemptStarted(2),
        ev.ItemCompleted(ev.AgentMessage("m", f"{ticks}\n# SPOOFED\n<b>SPOOFED</b>")),
        ev.CheckEnded("docs build", passed=False, exit_code=1, seconds=1, output=f"{ticks}\n# SPOOFED"),
        exit_code=1,
    )
    inside, outside = fences(summary(state))
    assert sum("SPOOFED" in each for each in inside) == 2
    assert "SPOOFED" not in "\n".join(outside)


@given(st.text(st.sampled_from("`~\n x<"), max_size=60))
def test_a_fence_holds_all_of_its_text(text):
    inside, outside = fences(fenced(text))
    assert inside == [text]
    assert outside == []


@given(states(), st.integers(0, 3000))
def test_every_summary_is_whole_and_within_its_limit(state, limit):
    text = summary(state, limit=limit)
    assert len(text.encode()) <= limit
    assert fences(text)
    assert not kinds(text) & {"html_block", "html_inline", "link_open", "image", "em_open"}
    assert "[[ATTACHMENT|" not in text


def test_what_is_too_long_is_left_out_with_a_word():
    state = a_run(*(ev.Warned("w", "x" * 500) for _ in range(200)))
    assert "... and 150 more, in run.json." in summary(state)
    short = summary(state, limit=3000)
    assert short.endswith("Some sections are too large for this page: see run.json.\n")
    assert "### Asked" in short


def test_escaped_text_is_no_markup_and_no_row():
    assert escaped("[x](http://y) | <b> `c` *d*\n# e") == (r"\[x\](http\://y) \| \<b> \`c\` \*d\* # e")
    assert escaped("- no list, no-list") == r"\- no list, no-list"
    assert code("a`b|c") == "``a`b¦c``"
    assert "\n" not in escaped(HOSTILE)
    assert escaped("a.py:3:1: 08:23:18 :smile: www.evil.com 1. _x_ NOT_THERE") == (
        r"a.py:3:1: 08:23:18 \:smile: www\.evil.com 1. \_x\_ NOT_THERE"
    )
    assert sentence("1. Set `a_b`, not `c`.") == r"1\. Set `a_b`, not `c`."
    assert sentence("odd ` tick") == r"odd \` tick"


def test_the_step_summary_is_appended_to(tmp_path):
    path = tmp_path / "step"
    path.write_text("from others\n")
    assert append_step_summary(path, "ours\n")
    assert append_step_summary(path, "again\n")
    assert path.read_text() == "from others\n\nours\n\nagain\n"


def test_the_step_summary_never_passes_its_limit(tmp_path):
    path = tmp_path / "step"
    assert not append_step_summary(path, "x" * 1000, limit=500)
    assert path.read_text().startswith("\ncodex-runner: the summary is too large")
    path.write_text("x" * 495)
    assert not append_step_summary(path, "y" * 10, limit=500)
    assert path.read_text() == "x" * 495
    path.write_text("")
    assert append_step_summary(path, "y" * 500, limit=500)


def test_a_step_summary_that_is_a_pipe_is_no_file(tmp_path):
    """Whether or not somebody has it open: nobody says that they read."""
    path = tmp_path / "step"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        append_step_summary(path, "ours")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="not a regular file"):
            append_step_summary(path, "ours")
    finally:
        os.close(reader)
