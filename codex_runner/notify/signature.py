"""Signatures by the Standard Webhooks specification, which libraries of many languages can verify."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex_runner.domain.secret import Secret

_PREFIX = "whsec_"


def message_id(run_id: str) -> str:
    """Return the id of a run's notification: the same for each try, so that a receiver can drop duplicates."""
    # A run id may contain dots, and a dot separates the parts of the signed content.
    return "msg_" + hashlib.sha256(f"run.ended {run_id}".encode()).hexdigest()[:32]


def signed_headers(key: Secret | None, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers `webhook-id` and `webhook-timestamp`, and with a key `webhook-signature`.

    The signature is HMAC-SHA256 over `id.timestamp.body`. `timestamp` is seconds since the epoch. Raises ValueError if
    the key begins with `whsec_` and is not base64 after that.
    """
    headers = {"webhook-id": identity, "webhook-timestamp": str(timestamp)}
    if key:
        content = f"{identity}.{timestamp}.".encode() + body
        digest = hmac.new(_key_bytes(key.reveal().strip()), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key_bytes(key: str) -> bytes:
    if not key.startswith(_PREFIX):
        return key.encode()
    try:
        return base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("its key begins with `whsec_` and is not base64 after that") from None
