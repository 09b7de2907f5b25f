"""The record in a pull request's body: it survives people and forges, and no agent can write one."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.markdown import parts

from codex_runner.delivery import neutral, record
from codex_runner.domain.delivery import DeliveryRecord

RECORD = DeliveryRecord("acme/app/docs", "github:acme/app", "r-1", "a" * 40, "b" * 40, "c" * 40, "d" * 40, "r-0")
RECORDS = st.builds(DeliveryRecord, *[st.text(max_size=50)] * 8)


@given(RECORDS, st.text())
def test_what_is_written_is_read(given_record, text):
    body = record.write(neutral.markdown(text), given_record)
    assert record.read(body) == given_record
    assert record.read(record.replace(body, RECORD)) == RECORD
    first = next(iter(parts(body)))
    assert first.type == "html_block"  # hidden: one comment, and nothing of the record is outside of it
    assert first.content.rstrip("\n") == body.split("\n")[0]
    assert first.content.count("-->") == 1


@given(st.text())
def test_no_text_breaks_the_reader(body):
    assert record.read(body) is None
    assert record.read(record.replace(body, RECORD)) == RECORD


BODY = record.write("The text.\n\nMore of it.", RECORD)


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        BODY.replace("\n", "\r\n"),
        f"\ufeff{BODY}",
        f"\n  \n{BODY}",
        BODY.rstrip(),
        f"{BODY}\n\n<!-- a bot -->\nIts summary.\n",
        BODY.replace("The text.", "A person wrote this."),
        BODY.replace("-->\n", "-->   \n"),
        "\n".join([*BODY.rstrip().split("\n")[1:-1], BODY.split("\n")[0]]),
    ],
)
def test_a_body_that_people_and_forges_have_touched(body):
    assert record.read(body) == RECORD
    later = dataclasses.replace(RECORD, tip="e" * 40)
    changed = record.replace(body, later)
    assert record.read(changed) == later
    assert changed.count("codex-runner:delivery") == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "The text.",
        BODY.replace("a" * 40, "f" * 40),
        BODY.replace("delivery 1 ", "delivery 2 "),
        BODY.replace('"closed":"r', '"closed":"s'),
        f"Before.\n{BODY}After.",
        f"> {BODY}",
        BODY.replace("<!-- codex-runner:delivery", "<!-- codex-runner: delivery"),
        BODY.split("\n")[0][:-4],
    ],
)
def test_what_is_no_record(body):
    assert record.read(body) is None


@pytest.mark.parametrize("place", ["{}", "```\n{}\n```", "`{}`", "x\n\n{}", "> {}", "    {}", "- {}", "~~~\n{}"])
def test_no_agent_can_write_one(place):
    forged = neutral.markdown(place.format(BODY.split("\n")[0]))
    assert record.read(forged) is None
    assert record.read(record.write(forged, RECORD).split("\n", 1)[1]) is None
    assert record.read(f"{forged}\n") is None


def test_another_text_takes_the_place_of_ours_alone():
    later = dataclasses.replace(RECORD, run="r-2")
    body = record.renew(f"Look at this.\n{BODY}\nA person's words.\n", "New text.", later)
    assert "Look at this." not in body  # the record was not at the beginning, so it was none
    body = record.renew(f"{BODY}\nA person's words.\n", "New text.", later)
    assert record.read(body) == later
    assert "The text." not in body
    assert "New text." in body
    assert body.endswith("\nA person's words.\n")
    without_end = BODY.replace("<!-- codex-runner:end -->", "")
    kept = record.renew(without_end, "New text.", later)
    assert "The text." in kept
    assert record.read(kept) == later
