"""Recipes: whole jobs for common tasks. `starters/recipes` has their files.

A recipe is `job.toml`, the job's table; `prompt.md`; `check.sh`, which judges the result; and `input.sh`, if the agent
gets text from elsewhere: the pipeline runs it before the job, and hands over what it has written.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from codex_runner.cli.templates import filled
from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe. A `weekly` one runs every Monday, others every night. One that `reads_issues` has one as its input."""

    name: str
    summary: str
    weekly: bool = False
    has_input: bool = False
    delivers: bool = True
    reads_issues: bool = False

    def input_script(self, job: str) -> str:
        """Return the path of the script that writes the input, from the configuration's folder. "" if there is none."""
        return f"prompts/{job}.input.sh" if self.has_input else ""

    def context(self, job: str) -> str:
        """Return the path of the input, from the configuration's folder. "" if there is none."""
        return f"{INPUT_FOLDER}/{job}.txt" if self.has_input else ""

    def files(self, job: str) -> dict[str, str]:
        """Return the files of a job of this name, by their path from the configuration's folder."""
        made = {prompt_file(job): "prompt.md", f"prompts/{job}.check.sh": "check.sh"}
        if self.has_input:
            made[self.input_script(job)] = "input.sh"
        return {path: filled(f"recipes/{self.name}/{file}", (), {"JOB": job}) for path, file in made.items()}

    @staticmethod
    def key(job: str) -> str:
        """Return the job's name as a key of TOML."""
        return json.dumps(job) if "." in job else job

    def table(self, place: RecipePlace) -> str:
        """Return the job's table of codex-runner.toml."""
        kinds = {"plain" if place.target == "git" else "pulls"}
        kinds |= {kind for kind, has in (("key", place.needs_key), ("token", place.needs_token)) if has}
        values = {
            "JOB": place.job,
            "KEY": self.key(place.job),
            "BELOW": json.dumps(place.below, ensure_ascii=False)[1:-1],
            "DELIVERY_VARIABLE": place.delivery_variable,
        }
        return filled(f"recipes/{self.name}/job.toml", kinds, values)


@dataclass(frozen=True, slots=True)
class RecipePlace:
    """The place of a recipe's job: its name, its repository and its forge.

    `below` is the configuration's folder from the repository's top, empty or with a slash at its end. `target` is the
    delivery's, empty if the remote's address tells. `needs_key` and `needs_token`: no `[defaults]` names the credential
    of codex or of the delivery.
    """

    job: str
    below: str
    target: str
    delivery_variable: str
    needs_key: bool
    needs_token: bool


INPUT_FOLDER = "codex-input"

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("docs", "bring README.md and docs/ up to date with the code, as a pull request"),
        Recipe("release-notes", 'keep "Unreleased" of CHANGELOG.md up to date with the commits, as a pull request'),
        Recipe(
            "test-triage",
            "say why tests fail, as a report: grouped by reason, each with its commit",
            has_input=True,
            delivers=False,
        ),
        Recipe(
            "dependency-report",
            "say which outdated dependencies to update first and what could break, as a report",
            weekly=True,
            has_input=True,
            delivers=False,
        ),
        Recipe(
            "reproduce-bug",
            "reproduce the bug of a labelled issue by a failing test, as a draft pull request",
            has_input=True,
            reads_issues=True,
        ),
    )
}
"""All recipes, by name."""


def prompt_file(job: str) -> str:
    """Return the path of a recipe's prompt, from the configuration's folder."""
    return f"prompts/{job}.md"


def recipe_named(name: str) -> Recipe:
    """Return the recipe of this name. Raises UsageError if there is none."""
    if name not in RECIPES:
        raise UsageError(f"{name!r} is not a recipe.", remedy=f"Give one of: {', '.join(RECIPES)}.")
    return RECIPES[name]
