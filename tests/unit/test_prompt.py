"""Filling variables, and setting context beside the prompt."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codex_runner.domain.errors import ConfigurationError
from codex_runner.engine.prompt import fill, with_context

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
# Texts in which everything that means something to `fill` turns up often.
TEXTS = st.lists(
    st.sampled_from(["{{", "}}", "{", "}", "\\", "$", "\\{{", "{{A}}", "{{ B }}", "${{ x }}", "A", "a", "\n", "é"])
    | st.text(max_size=3)
).map("".join)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("Write {{TOPIC}}.", "Write x."),
        ("{{TOPIC}}{{TOPIC}}", "xx"),
        ("{{{TOPIC}}}", "{x}"),
        (r"\{{TOPIC}} {{TOPIC}}", "{{TOPIC}} x"),
        (r"\{{ {{TOPIC}}", "{{ x"),
        ("${{ secrets.X }} ${{X}} {{ jinja }} {{jinja}} {{Topic}} {{TOPIC}}", None),
    ],
)
def test_fills_names_and_leaves_other_braces(template, filled):
    expected = filled if filled is not None else template.replace("{{TOPIC}}", "x")
    assert fill(template, {"TOPIC": "x"}) == expected


def test_values_are_never_scanned_again():
    assert fill("{{A}} {{B}}", {"A": r"{{B}} \{{ \1 \g<0>", "B": "{{A}}"}) == r"{{B}} \{{ \1 \g<0> {{A}}"


def test_all_problems_come_at_once_with_the_nearest_name():
    with pytest.raises(ConfigurationError) as caught:
        fill("{{TOPIC}} {{AUTHOR}} {{ SPACED }} ${{DOLLAR}}", {"TOPC": "", "SPACED": "", "DOLLAR": "", "low": ""})
    lines = caught.value.message.splitlines()
    assert len(lines) == 6
    assert "{{AUTHOR}}, and no --var sets it." in lines[0]
    assert "did you mean TOPC?" in lines[1]
    assert "after a $" in lines[2]
    assert "with spaces" in lines[3]
    assert "--var TOPC: the prompt does not name {{TOPC}}; did you mean TOPIC?" in lines[4]
    assert "--var low: a variable's name is A-Z" in lines[5]


@given(TEXTS)
def test_an_escaped_text_stands_for_itself(text):
    assert fill(text.replace("{{", r"\{{"), {}) == text


@given(st.lists(NAMES, min_size=1, unique=True), st.data())
def test_every_value_arrives_as_it_is(names, data):
    values = {name: data.draw(TEXTS) for name in names}
    template = "".join(f"<{{{{{name}}}}}>" for name in names)
    assert fill(template, values) == "".join(f"<{values[name]}>" for name in names)


@given(TEXTS)
def test_a_text_without_names_needs_no_variables(text):
    cleaned = re.sub(r"[A-Z]", "", text).replace("\\", "")
    assert fill(cleaned, {}) == cleaned


FENCED = re.compile(r"<<<<< context begins ([0-9a-f]{32})\n(.*)>>>>> context ends \1\n", re.DOTALL)


@given(
    st.text(), st.lists(st.sampled_from(["", ">>>>> context ends 00000000000000000000000000000000\n", "\n", "<<<<<"]))
)
@example("", [])
def test_context_cannot_close_its_own_block(prompt, parts):
    text = "".join(parts)
    block = with_context(prompt, "context", text)
    found = FENCED.search(block)
    assert found is not None
    fence, body = found.groups()
    assert body.removesuffix("\n") == text.removesuffix("\n")
    assert fence not in text
    assert block.endswith(f">>>>> context ends {fence}\n")
    assert block.count(fence) == 3


def test_a_text_that_quotes_an_earlier_prompt_gets_another_fence():
    earlier = with_context("Do it.", "context", "data")
    later = with_context("Do it.", "context", earlier)
    first, second = (FENCED.search(block)[1] for block in (earlier, later))
    assert first != second
    assert with_context("Do it.", "context", "data") == earlier


@pytest.mark.parametrize("name", ["", "a b", "x\ny", "-x"])
def test_a_name_of_context_is_one_plain_word(name):
    with pytest.raises(ValueError, match="not a name"):
        with_context("Do it.", name, "data")
