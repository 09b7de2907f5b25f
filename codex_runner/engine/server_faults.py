"""A server's failures: why there was no answer, and how long it asks to wait."""

from __future__ import annotations

import os
import socket
import ssl
import time
from email.utils import parsedate_to_datetime


def why_unreachable(error: BaseException) -> tuple[str, bool]:
    """Return the reason of a failed connection, from the errors below it, and whether it can pass.

    The reason is "" if none of them tells it. It holds no address, since an address may be a secret. An HTTP library's
    own words may hold one.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}", False
        if isinstance(cause, socket.gaierror | ssl.SSLError) and cause.strerror:
            return cause.strerror, True
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno), True
        cause = cause.__cause__ or cause.__context__
    return "", True


def retry_after(value: str) -> float | None:
    """Parse the header Retry-After, which is seconds or a date, into seconds. Returns None if it is neither."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
