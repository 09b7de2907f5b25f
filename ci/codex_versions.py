"""What CI asks of the table of codex's versions (codex_runner/codex/versions.py). It needs no package but this one:

    PYTHONPATH=. python3 ci/codex_versions.py matrix             the nightly matrix, as an output of a step
    PYTHONPATH=. python3 ci/codex_versions.py judge 0.172.0      exit code 1, with words, unless the table supports it

npm's newest version is asked of NPM_CONFIG_REGISTRY, or of npm's own registry.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request

from codex_runner.codex.versions import VERSIONS, Standing

REGISTRY = "https://registry.npmjs.org"
PYTHONS = ("3.11", "3.13")  # the oldest codex with the oldest Python, the newest with the newest


def newest_of_npm() -> str:
    """Return the version that `npm install -g` brings today. SystemExit, with words, if the registry does not say."""
    url = f"{os.environ.get('NPM_CONFIG_REGISTRY', REGISTRY).rstrip('/')}/{VERSIONS.newest.package}/latest"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            version = json.load(answer)["version"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.exit(f"{url} does not say which codex is the newest: {error!r}. Look whether npm's registry is up.")
    if VERSIONS.judge(str(version)).standing is Standing.UNKNOWN:
        sys.exit(f"{url} says {version!r}, which is no version. Look at what npm has.")
    return str(version)


def matrix() -> str:
    """Return each night's entries: `codex` is what TEST_CODEX gets."""
    versions = (VERSIONS.oldest.version, newest_of_npm())
    return json.dumps([{"python": python, "codex": codex} for python, codex in zip(PYTHONS, versions, strict=True)])


def judge(version: str) -> None:
    verdict = VERSIONS.judge(version)
    print(f"codex {version} is {verdict.why}.", file=sys.stderr)
    if verdict.standing is Standing.UNTESTED:
        sys.exit(
            "Look at what this night's tests say of it. If they are green, raise the newest version in "
            "codex_runner/codex/versions.py and run ci/docs; else adapt the runner, or name the version in `bad`."
        )
    if verdict.standing.is_refused:
        sys.exit(f"{verdict.remedy} Runs refuse this version, so npm's newest is of no use to anybody.")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["matrix"]:
            print(f"matrix={matrix()}")
        case ["judge", version]:
            judge(version)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
