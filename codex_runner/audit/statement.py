"""The statement of an audit: in-toto v1, in a DSSE envelope, signed with ECDSA P-256 and SHA-256.

Formats: https://github.com/in-toto/attestation and https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, Final

from codex_runner.audit.files import Match

if TYPE_CHECKING:
    from codex_runner.audit.document import Audit
    from codex_runner.audit.signing_key import SigningKey

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "urn:codex-runner:audit:v1"
"""The type of the predicate: docs/audit.md describes it."""
PAYLOAD: Final = "application/vnd.in-toto+json"

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def statement(audit: Audit, document: dict[str, Any]) -> bytes:
    """Return the statement about an audited run. Its predicate is the audit's document.

    The subjects are the artifacts and the delivered commit; events.jsonl if there are neither.
    """
    subjects = [
        {"name": shown["path"], "digest": {"sha256": each.sha256}}
        for each, shown in zip(audit.files, document["files"], strict=True)
        if each.kind == "artifact" and each.match is Match.SAME
    ]
    delivered = document["touched"]
    commit = delivered["delivery_commit"]["value"]
    if isinstance(commit, str) and _COMMIT.fullmatch(commit):
        place = (
            delivered["delivery_link"]["value"] or delivered["delivery_repository"]["value"] or "the delivered commit"
        )
        subjects.append({"name": str(place), "digest": {"gitCommit": commit}})
    if not subjects:
        subjects = [
            {"name": each.path, "digest": {"sha256": each.sha256}}
            for each in audit.files
            if each.path == "events.jsonl"
        ]
    whole = {"_type": STATEMENT, "subject": subjects, "predicateType": PREDICATE, "predicate": document}
    return json.dumps(whole, ensure_ascii=True, sort_keys=True).encode()


def envelope(payload: bytes, key: SigningKey) -> dict[str, Any]:
    """Return the DSSE envelope around a statement, with one signature."""
    signature = key.sign(encoded(PAYLOAD, payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(signature).decode()}],
    }


def encoded(kind: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
