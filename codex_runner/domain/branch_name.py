"""Names of git branches: what git refuses (`git check-ref-format --branch`), and a name for any words."""

from __future__ import annotations

import re

MOST_BYTES = 200
"""The longest name, in UTF-8: a ref is a file, and its lock's name is longer by five bytes."""

# Of one part between slashes: what git never takes.
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_NAMES_HEAD = frozenset({"HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD"})


def branch_problem(name: str) -> str | None:  # noqa: PLR0911 - one return a rule of git's
    """Say what is wrong with the name of a branch. Returns None if git and the forges take it."""
    if _REFUSED.search(name) or not name.isprintable():
        return "a branch's name has no spaces, no control characters, and none of ~ ^ : ? * [ \\"
    if name.startswith("-") or name in _NAMES_HEAD or name == "@":
        return "git reads this name as something else than a branch"
    if name.startswith("refs/"):
        return "a branch is named without `refs/heads/`"
    if ".." in name or "@{" in name:
        return "a branch's name has neither `..` nor `@{`"
    if not all(name.split("/")):
        return "a branch's name has no empty part between slashes"
    if any(part.startswith(".") or part.endswith((".", ".lock")) for part in name.split("/")):
        return "no part of a branch's name begins or ends with a dot, or ends with `.lock`"
    if len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return f"a branch's name has at most {MOST_BYTES} bytes"
    return None


def as_branch(text: str) -> str:
    """Return a name for a branch, or for parts of one, that stands for any text. Idempotent. "x" if nothing is left.

    Letters, digits, `.`, `_`, `-` and slashes stay; all else becomes `-`.
    """
    parts = (_NOT_PLAIN.sub("-", part).strip("-.") for part in text.split("/"))
    kept = [re.sub(r"\.{2,}", ".", re.sub(r"(\.lock)+$", "-lock", part)) for part in parts if part]
    name = "/".join(kept)[:MOST_BYTES].rstrip("-./")
    if name in _NAMES_HEAD or name.startswith("refs/"):
        name = f"x-{name}"
    return name or "x"
