"""Rules that judge whether a credential is fit for a run. Pure: facts and the time go in, findings come out.

Each rule fails closed. Its name is stable, and appears in errors, in JUnit and in events.jsonl.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from codex_runner.dataclass import dataclass
from codex_runner.domain.credential import (
    CredentialFacts,
    CredentialKind,
    CredentialSource,
    CredentialSpec,
    Finding,
    Outcome,
)
from codex_runner.domain.errors import CredentialError
from codex_runner.domain.event import Guarded, Warned
from codex_runner.domain.failure import Failure
from codex_runner.text.dates import numeric_date, parse_date
from codex_runner.text.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codex_runner.domain.event import Event

WORKFLOW = "credential-workflow"
DATES = "credential-dates"
EXPIRY = "credential-expiry"
LIFETIME = "credential-lifetime"
AGE = "credential-age"

RULES = {
    WORKFLOW: "the credential names this workflow",
    DATES: "its dates can be read and make sense",
    EXPIRY: "it has an expiry, unless the job says `allow_unexpiring = true`",
    LIFETIME: "it outlives the job's timeout and a margin, and `min_ttl`",
    AGE: "it is not older than `max_age`",
}

LIFETIME_MARGIN = 300.0  # seconds beyond the job's timeout, for the work before and after codex
CLOCK_SKEW = 300.0  # seconds that `issued_at` may lie in the future, since clocks differ


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """The run that a credential is judged for: its workflow, its job's timeout (seconds), and now (since the epoch).

    `complete` is True if the source keeps all facts beside the value, as Vault does: a missing fact is then a refusal.
    Otherwise (a variable, a file), the rules judge only the facts that are known. `version` is the version that the
    run has already, if the source keeps older ones; None asks for the newest.
    """

    workflow: str
    timeout: float
    now: float
    complete: bool = True
    version: int | None = None

    @property
    def remedy(self) -> str:
        """The remedy for most findings."""
        if not self.complete:
            return "Put a fresh token in its place, and renew the job's `credential.expires_at` if that is set."
        return f"Store a fresh token with `codex-runner token rotate {self.workflow}`."


def default_workflow(repository: str, job: str) -> str:
    """Return a job's default workflow, `<owner>/<repo>/<job>`: its credential's field `workflow` must say the same."""
    return f"{repository}/{job}"


def unverified_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without checking its signature. Returns {} if `token` is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:  # header, claims, signature
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def claimed_date(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a JWT's date in seconds since the epoch. Returns None if the claim is missing.

    Raises ValueError if the claim is no date in seconds, such as NaN or milliseconds.
    """
    try:
        return numeric_date(claims.get(name))
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def planned_guards(spec: CredentialSpec | None) -> tuple[str, ...]:
    """Return the names of the guards that a run with this credential passes if nothing fails, in their order."""
    if spec is None:
        return ()
    if spec.kind is CredentialKind.WORKLOAD_IDENTITY:
        return ("workload-identity",)
    in_vault = spec.source is CredentialSource.VAULT
    named = (
        (WORKFLOW, in_vault),
        (DATES, in_vault),
        (EXPIRY, in_vault),
        (LIFETIME, in_vault and not spec.allow_unexpiring),
        (AGE, spec.max_age is not None),
        ("vault-revocation", in_vault),
        ("credential-preflight", spec.kind is CredentialKind.ACCESS_TOKEN),
    )
    return tuple(name for name, reached in named if reached)


def judge_credential(facts: CredentialFacts, spec: CredentialSpec, occasion: CredentialUse) -> tuple[Finding, ...]:
    """Apply every rule, in order. Pure: call it again for a later `now`.

    If a date is unreadable, DATES refuses it, and the rules that need it give no finding.
    """
    findings = []
    if occasion.complete or facts.workflow is not None:
        findings.append(_judge_workflow(facts, occasion.workflow))
    issued, expires, wrong = _read_dates(facts, occasion.now)
    if wrong:
        findings.append(Finding(DATES, Outcome.REFUSED, f"{facts.place}: {wrong}.", occasion.remedy))
    elif facts.issued_at is not None or facts.expires_at is not None:
        findings.append(Finding(DATES, Outcome.PASSED, "Its dates can be read."))
    if expires is not None:
        findings += _judge_expiry(facts, spec, occasion, expires)
    elif facts.expires_at is None:
        findings.append(_judge_missing_expiry(facts, spec, occasion))
    if spec.max_age is not None and (issued is not None or facts.issued_at is None):
        findings.append(_judge_age(facts, occasion, issued, spec.max_age))
    return tuple(findings)


def require(findings: Sequence[Finding]) -> None:
    """Raises CredentialError, with every rule that refused, if any did."""
    refused = [finding for finding in findings if finding.outcome is Outcome.REFUSED]
    if refused:
        raise CredentialError(
            " ".join(f"{finding.message} [{finding.rule}]" for finding in refused), remedy=refused[0].remedy
        )


def events_of(findings: Sequence[Finding]) -> tuple[Event, ...]:
    """Return the findings as events: a guard for each, and a warning if it asks for an action."""
    events: list[Event] = []
    for finding in findings:
        refused = finding.outcome is Outcome.REFUSED
        failure = Failure.CREDENTIAL.value if refused else None
        unjudged = finding.outcome is Outcome.UNJUDGED
        guard = Guarded(finding.rule, not refused, finding.message, failure=failure)
        events.append(Guarded.unjudged(finding.rule, finding.message) if unjudged else guard)
        if finding.outcome is Outcome.WARNED or (unjudged and finding.remedy):
            events.append(Warned(finding.rule, f"{finding.message} {finding.remedy}".rstrip()))
    return tuple(events)


def _judge_workflow(facts: CredentialFacts, workflow: str) -> Finding:
    if facts.workflow == workflow:
        return Finding(WORKFLOW, Outcome.PASSED, f"It belongs to the workflow {workflow}.")
    named = f"the workflow {facts.workflow!r}" if facts.workflow else "no workflow"
    return Finding(
        WORKFLOW,
        Outcome.REFUSED,
        f"{facts.place} holds a credential that names {named}, and this run is {workflow!r}.",
        f"Correct the job's `credential.path` or `credential.workflow`, or store a token for {workflow} "
        f"with `codex-runner token put {workflow}`.",
    )


def _read_dates(facts: CredentialFacts, now: float) -> tuple[float | None, float | None, str]:
    """Return the dates of issue and expiry (None if missing or unreadable), and what is wrong with them."""
    dates: dict[str, float] = {}
    wrong = []
    for name in ("issued_at", "expires_at"):
        text = getattr(facts, name)
        if text is None:
            continue
        try:
            dates[name] = parse_date(text)
        except (ValueError, OverflowError) as error:
            wrong.append(f"`{name}` cannot be read: {error}")
    issued, expires = dates.get("issued_at"), dates.get("expires_at")
    if issued is not None and issued > now + CLOCK_SKEW:
        wrong.append(f"`issued_at` {facts.issued_at} lies in the future")
    if issued is not None and expires is not None and expires <= issued:
        wrong.append(f"`expires_at` {facts.expires_at} is not after `issued_at` {facts.issued_at}")
    return issued, expires, "; ".join(wrong)


def _judge_expiry(
    facts: CredentialFacts, spec: CredentialSpec, occasion: CredentialUse, expires: float
) -> list[Finding]:
    left = expires - occasion.now
    if left <= 0:
        message = f"{facts.place} expired {format_duration(-left)} ago, at {facts.expires_at}."
        return [Finding(EXPIRY, Outcome.REFUSED, message, occasion.remedy)]
    findings = [Finding(EXPIRY, Outcome.PASSED, f"It expires at {facts.expires_at}.")]
    needed = max(occasion.timeout + LIFETIME_MARGIN, spec.min_ttl or 0.0)
    life = f"{facts.place} expires in {format_duration(left)}, at {facts.expires_at}"
    if left < needed:
        message = f"{life}, and this run needs {format_duration(needed)} (timeout and margin, or `min_ttl`)."
        findings.append(Finding(LIFETIME, Outcome.REFUSED, message, occasion.remedy))
    elif left < spec.warn_ttl:
        message = f"{life}: rotate it soon (`warn_ttl` is {format_duration(spec.warn_ttl)})."
        findings.append(Finding(LIFETIME, Outcome.WARNED, message, occasion.remedy))
    else:
        message = f"It lives for another {format_duration(left)}; the run needs {format_duration(needed)}."
        findings.append(Finding(LIFETIME, Outcome.PASSED, message))
    return findings


def _judge_missing_expiry(facts: CredentialFacts, spec: CredentialSpec, occasion: CredentialUse) -> Finding:
    if spec.allow_unexpiring:
        return Finding(EXPIRY, Outcome.UNJUDGED, "It names no expiry, and the job allows that.")
    if not occasion.complete:
        message = f"The expiry of {facts.place} is not known, so it could not be judged."
        remedy = "Set `credential.expires_at`, or keep the credential in Vault."
        return Finding(EXPIRY, Outcome.UNJUDGED, message, remedy)
    message = f"{facts.place} names no expiry (`expires_at`)."
    return Finding(EXPIRY, Outcome.REFUSED, message, f"{occasion.remedy} Or set `allow_unexpiring = true` in the job.")


def _judge_age(facts: CredentialFacts, occasion: CredentialUse, issued: float | None, max_age: float) -> Finding:
    if issued is None:
        message = f"{facts.place} does not say when it was issued (`issued_at`), and the job has a `max_age`."
        return Finding(AGE, Outcome.REFUSED, message, occasion.remedy)
    age = max(0.0, occasion.now - issued)
    told = f"is {format_duration(age)} old; `max_age` is {format_duration(max_age)}."
    if age > max_age:
        return Finding(AGE, Outcome.REFUSED, f"{facts.place} {told}", occasion.remedy)
    return Finding(AGE, Outcome.PASSED, f"It {told}")
