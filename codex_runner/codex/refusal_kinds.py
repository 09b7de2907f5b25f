"""Refusals that codex reports only in passing: on stderr, in `error` items, in the output of a command.

`codex exec` asks for no approval: it refuses what would need one, and its events do not say so. ci/docs writes a part
of docs/failures.md from this table.
"""

from __future__ import annotations

import re

from codex_runner.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class RefusalKind:
    """A kind of refusal: `code` is the warning's code, `words` match codex's message."""

    code: str
    words: re.Pattern[str]
    meaning: str


_POLICY = "policy-downgraded"

# First match wins. codex 0.163 and 0.169 print each of them.
REFUSALS = (
    RefusalKind(
        "escalation-refused",
        re.compile(r"cannot ask for escalated permissions|approval policy is Never; reject"),
        "the agent asked to leave its sandbox",
    ),
    RefusalKind("hook-blocked", re.compile(r"blocked by \w+ hook"), "a hook stopped a tool of the agent"),
    RefusalKind(
        "policy-forbids",
        re.compile(r"\x60 rejected: |rejected: (blocked by policy|policy forbids)"),
        "a rule of the workspace, or of the user, forbids the command",
    ),
    RefusalKind(
        "command-not-started",
        re.compile(r"Failed to create unified exec process"),
        "codex could not start a command of the agent, for example because its folder is missing",
    ),
    RefusalKind("command-rejected", re.compile(r"Rejected\("), "codex rejected a command of the agent and said why"),
    RefusalKind(
        "patch-refused", re.compile(r"patch rejected: "), "the agent's patch touched files that it may not write"
    ),
    RefusalKind(
        _POLICY,
        re.compile(r"disallowed by requirements; falling back|overridden by requirements"),
        "the workspace's policy changed a setting of the job, such as its sandbox",
    ),
)
SANDBOX_FAILED = RefusalKind(
    "sandbox-failed",
    re.compile(r"\A(bwrap|sandbox-exec): |panicked at linux-sandbox/"),
    "codex's sandbox did not start, so the agent's command did not run",
)

# Sentences of `error` items about a setting, and not about the model's or the agent's work. Each is from codex 0.163 or
# 0.171. Sentences about a retry are not among them: "Falling back from WebSockets ...".
WARNINGS = (
    re.compile(r"\AUnder-development features enabled: "),
    re.compile(r"\A`--dangerously-bypass-hook-trust` is enabled"),
    re.compile(r"\Aclamping \w+ hook timeout to "),
    re.compile(r"\AModel metadata for `[^`]*` not found"),
    re.compile(r"\AHeads up: Long threads and multiple compactions "),
    re.compile(r"\AExceeded skills context budget\b|\ASkill descriptions were "),
    re.compile(r"\A`[^`]*` is deprecated\b"),
)

_LOOKED_AT = 4096  # characters: a sandbox prints its own failure first
_ROUTER = "codex_core::tools::router: error="


def code_of(message: str) -> str:
    """Return the code of the refusal with these words. Returns "" if they are no refusal."""
    return next((refusal.code for refusal in REFUSALS if refusal.words.search(message)), "")


def is_known_warning(message: str) -> bool:
    """Return True if an `error` item is only about a setting or a policy. Others may be about a failure, or work."""
    return code_of(message) == _POLICY or any(words.search(message) for words in WARNINGS)


def plain(message: str) -> str:
    """Return a message without the name of its module in codex's source."""
    return message.removeprefix(_ROUTER)


def sandbox_failed(output: str, exit_code: int | None) -> bool:
    """Return True if a command failed because its sandbox did not start."""
    return bool(exit_code) and SANDBOX_FAILED.words.search(output[:_LOOKED_AT]) is not None
