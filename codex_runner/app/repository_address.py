"""The address of a git repository: a URL, `user@host:path` as ssh has it, or a path on this machine."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_SCP = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)")


def host_of(address: str) -> str:
    """Return the host of a repository's address, without user and port. Returns "" for a path."""
    if "://" in address:
        try:
            return urlsplit(address).hostname or ""
        except ValueError:
            return ""
    found = _SCP.match(address)
    return found[1].lower() if found else ""


def without_user(address: str) -> str:
    """Return an address without user and password, which CI systems clone with. Those of ssh keep their user."""
    scheme, mark, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}" if scheme in {"http", "https"} else address


def password_of(address: str) -> str:
    """Return the password in an address, or a user alone, which may be a token. Returns "" if there is none."""
    try:
        parts = urlsplit(address)
        found = parts.password or parts.username
    except ValueError:
        return ""
    return unquote(found or "") if parts.scheme in {"http", "https"} else ""


def path_of(address: str) -> str:
    """Return a repository's path at its host: `<owner>/<repo>`, at GitLab with all groups.

    Returns "" if it has only one part. Of an address that is a folder, the last two parts count.
    """
    scheme, mark, rest = address.partition("://")
    if mark and scheme != "file":
        path = rest.partition("/")[2]
    elif not mark and ":" in address.partition("/")[0]:  # user@host:path, as ssh has it
        path = address.partition(":")[2]
    else:
        path = "/".join(address.split("/")[-2:])
    path = path.strip("/").removesuffix(".git")
    return path if "/" in path else ""
