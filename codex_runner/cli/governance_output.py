"""`codex-runner doctor JOB --governance`: the answers as a table or as JSON."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from codex_runner.app.audit import masks_of
from codex_runner.app.governance import Review
from codex_runner.app.invocation import Invocation
from codex_runner.cli.options import warn
from codex_runner.cli.signals import Interruption
from codex_runner.cli.speech import print_json, tell
from codex_runner.cli.table import show_table
from codex_runner.domain.governance import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from codex_runner.config import Config
    from codex_runner.domain.governance import Attested

VERSION = 1
NOT_KNOWN = "not known"


def answer_governance(config: Config, job: str, *, as_json: bool) -> None:
    """Print the answers of a review of a job, by question."""
    masks = masks_of(config, os.environ)
    review = Review(config, job, Invocation.of(config, os.environ, None, complain=warn), tell, masks.learn)
    found = [*review.ask_vault(Interruption()), *asyncio.run(review.ask())]
    order = list(Topic)
    found.sort(key=lambda answer: order.index(answer.question))
    documents = [_document(each, masks.text) for each in found]
    if as_json:
        print_json({"version": VERSION, "job": job, "answers": documents})
    else:
        _show(documents)


def _document(answer: Attested, mask: Callable[[str], str]) -> dict[str, Any]:
    known = bool(answer.source)
    whole = {
        "question": answer.question.value,
        "fact": answer.fact,
        "value": answer.value if known else None,
        "source": answer.source or None,
        "why": answer.why or None,
    }
    # As text, so that a secret within any value is masked.
    document: dict[str, Any] = json.loads(mask(json.dumps(whole, ensure_ascii=True)))
    return document


def _show(documents: list[dict[str, Any]]) -> None:
    rows = [
        (each["question"], each["fact"], _value(each), " ".join((each["source"] or each["why"] or "").split()))
        for each in documents
    ]
    show_table(("QUESTION", "FACT", "ANSWER", "SOURCE"), rows, os.environ)


def _value(document: dict[str, Any]) -> str:
    value = document["value"]
    if document["source"] is None:
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
