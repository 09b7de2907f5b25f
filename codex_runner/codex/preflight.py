"""Looks at the codex that a host has, before anything is started: where it is, its version, its features."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.host import Install

if TYPE_CHECKING:
    from codex_runner.domain.job import Job
    from codex_runner.domain.ports import Transport

# The oldest version that the tests run.
OLDEST = (0, 163, 0)

INSTALL_HINT = (
    "Install it (`npm install -g @openai/codex`, or `pip install openai-codex-cli-bin`), or set `codex.path`."
)

# Printed line by line: path, version, feature. The npm package's `codex` is a Node wrapper that survives signals badly
# and leaves the real one running when it is killed, so the native binary beside it is taken instead.
_PROBE = r"""
found=$1
if [ -z "$found" ]; then
	found=$(command -v codex) || found=$2
	[ -n "$found" ] || { echo missing; exit 0; }
fi
case $found in
*/*) [ -x "$found" ] && [ ! -d "$found" ] || { echo "missing $found"; exit 0; } ;;
*) named=$found; found=$(command -v "$named") || { echo "missing $named"; exit 0; } ;;
esac
real=$(readlink -f "$found" 2>/dev/null) || real=$found
case $real in
*/@openai/codex/bin/codex.js)
	scope=${real%/codex/bin/codex.js}
	for native in "$scope"/codex-*/vendor/*/bin/codex "$scope"/codex/node_modules/@openai/codex-*/vendor/*/bin/codex \
		"$scope"/codex/vendor/*/*/codex; do
		if [ -x "$native" ]; then found=$native; break; fi
	done
	;;
esac
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
CODEX_HOME=$scratch "$found" features list >"$scratch/features" 2>/dev/null &
version=$("$found" --version 2>&1) || version="broken $version"
wait
echo "path $found"
echo "version $version"
while read -r name stage; do case $stage in *removed*) ;; *) echo "feature $name" ;; esac; done <"$scratch/features"
"""


async def find_codex(transport: Transport, path: str | None, fallback: str | None = None) -> Install:
    """Find codex at `path`, or as `codex` in the host's PATH, or at `fallback`.

    ConfigurationError where there is none that works.
    """
    done = await transport.execute(_PROBE, arguments=(path or "", fallback or ""), timeout=60)
    lines = done.output.decode("utf-8", "replace").splitlines()
    facts = [line.partition(" ") for line in lines]
    missing = next((value for key, _, value in facts if key == "missing"), None)
    if missing is not None:
        where = f"at {missing!r}" if missing else "in PATH"
        raise ConfigurationError(f"no codex {where}.", remedy=INSTALL_HINT)
    values = {key: value for key, _, value in facts if key != "feature"}
    if "path" not in values:
        raise ConfigurationError(f"codex could not be looked at: {' '.join(lines)[-300:]}", remedy=INSTALL_HINT)
    version = re.fullmatch(r"codex-cli (\d+)\.(\d+)\.(\d+)(\S*)", values["version"].strip())
    if version is None:
        raise ConfigurationError(
            f"{values['path']} is not a codex that works: `--version` says {values['version'][:200]!r}.",
            remedy=INSTALL_HINT,
        )
    numbers = tuple(map(int, version.groups()[:3]))
    if numbers < OLDEST:
        raise ConfigurationError(
            f"codex {'.'.join(map(str, numbers))} at {values['path']} is too old.",
            remedy=f"codex-runner needs {'.'.join(map(str, OLDEST))} or later. {INSTALL_HINT}",
        )
    features = frozenset(value for key, _, value in facts if key == "feature")
    return Install(values["path"], values["version"].removeprefix("codex-cli ").strip(), features)


def check_features(job: Job, install: Install) -> None:
    """Refuse a feature flag that this codex does not have: it would only warn, and the job would run without it."""
    wanted = job.codex.config.get("features", {})
    unknown = [name for name in wanted if name not in install.features]
    if unknown and install.features:
        near = get_close_matches(unknown[0], install.features, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"codex.config.features.{unknown[0]}: codex {install.version} has no such feature.",
            remedy=f"{hint}`codex features list` shows what it has.",
        )
