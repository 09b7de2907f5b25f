"""Secrets in quotes, and wrapped: what is left is readable, and what merely looks alike stays."""

import json

import pytest

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor

SECRET = "p4&ss<w>'o\"r+d/\\=%42$x y"


@pytest.mark.parametrize(
    "text",
    [
        "p4&amp;ss&lt;w&gt;&#39;o&#34;r+d/\\=%42$x y",
        "p4\\&ss\\<w\\>\\'o\\\"r\\+d\\/\\\\\\=\\%42\\$x\\ y",
        "p4&ss<w>''o\"r+d/\\=%42$x y",
        "p4&ss<w>'\"'\"'o\"r+d/\\=%42$x y",
        "p4&ss<w>'\\''o\"r+d/\\=%42$x y",
    ],
)
def test_quotes(text):
    redactor = Redactor([Secret("KEY", SECRET)])
    assert redactor.text(f"a {text} b") == "a ***KEY*** b"
    assert redactor.found(text.encode())
    line = json.dumps({"t": text, "u": 1})
    assert "***KEY***" in json.loads(redactor.text(line))["t"]


@pytest.mark.parametrize("text", ["p4 ss w", "p4&ss<w>", "p4&amp;ss&lt;w&gt;o", "\\" * 100_000 + "p4&ss" * 10_000])
def test_what_is_none(text):
    assert Redactor([Secret("KEY", SECRET)]).text(text) == text
