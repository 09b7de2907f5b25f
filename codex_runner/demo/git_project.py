"""The demo's project: a scratch repository and a real codex-runner.toml beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomli_w

from codex_runner.demo.scratch_folder import make_repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JOB = "release-notes"

_SETTINGS = f"""\
# A nightly job that drafts release notes from the log. Written by `codex-runner demo`.
version = 1

[jobs.{JOB}]
prompt = \"\"\"
Read the log of this repository and draft RELEASE_NOTES.md from it:
one line a commit, grouped by what the commits do. Change nothing else.
\"\"\"
cwd = "project"
sandbox = "workspace-write"
timeout = "2m"
budget = {{ tokens = 100_000 }}
artifacts = ["RELEASE_NOTES.md"]

[[jobs.{JOB}.checks]]
name = "every commit is named"
run = '''
git log --format=%h | while read -r commit; do
  grep -q "$commit" RELEASE_NOTES.md || {{ echo "RELEASE_NOTES.md does not name $commit"; exit 1; }}
done
'''

[[jobs.{JOB}.checks]]
name = "nothing else changed"
run = 'test "$(git status --porcelain)" = "?? RELEASE_NOTES.md"'
"""


def make_project(
    folder: Path,
    *,
    vault: Mapping[str, Any],
    credential: Mapping[str, Any],
    codex: Mapping[str, Any],
    delivery: Mapping[str, Any],
) -> Path:
    """Make the repository and the configuration in `folder`. Returns the configuration's path.

    The mappings become the tables `[vault]`, the job's `credential`, `[codex]`, and the job's `delivery`.
    """
    make_repository(folder / "project")
    settings = folder / "codex-runner.toml"
    borrowed = tomli_w.dumps({"jobs": {JOB: {"credential": credential}}, "vault": vault})
    delivered = tomli_w.dumps({"jobs": {JOB: {"delivery": delivery}}})
    service = tomli_w.dumps({"codex": codex})
    settings.write_text(
        f"{_SETTINGS}\n# The token's place in Vault, and how this pipeline logs in for it.\n{borrowed}\n"
        f"# The repository that gets a branch and a pull request, and the token for it.\n{delivered}\n"
        f"# The scripted model service, instead of OpenAI's.\n{service}",
        encoding="utf-8",
    )
    return settings
