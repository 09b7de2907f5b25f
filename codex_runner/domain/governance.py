"""Answers to the questions of a review: who owns a token, what it reaches, what protects the base."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from codex_runner.dataclass import dataclass


class Topic(StrEnum):
    """The questions, in their order. Their names are for programs."""

    TOKEN_OWNER = "token-owner"  # noqa: S105 - a question's name
    REPOSITORIES = "repositories"
    PROTECTION = "base-protection"
    BAD_PULL_REQUEST = "bad-pull-request"
    LOGS = "logs"
    SECRETS = "production-secrets"


@dataclass(frozen=True, slots=True)
class Attested:
    """One fact of an answer. Without a `source`, nothing proves it: it is not known, and `why` may say why not."""

    question: Topic
    fact: str
    value: Any = None
    source: str = ""
    why: str = ""
