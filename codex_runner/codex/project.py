"""What the repository may tell codex, and what it may not: no file of it changes the run's sandbox, programs or model.

codex 0.163 trusts the project of a job that may write, by itself, and then obeys its `.codex` folder: it starts the MCP
servers and hooks that are named there outside the sandbox, where they can read codex's token from /proc. So every
project is set to `untrusted`, which both 0.163 and 0.171 honour. That takes the repository's AGENTS.md away too; the
ones that the job's `instructions` choose are handed over in the run's own CODEX_HOME, and so are its skills.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.event import Warned
from codex_runner.domain.job import Instructions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codex_runner.codex.survey import Document, Survey
    from codex_runner.domain.job import Job
    from codex_runner.engine.proposal import Proposal

# codex's own default of `project_doc_max_bytes`; more than the second does not fit into an answer of the host.
_DOCUMENT_BYTES = 32 * 1024
_MOST_DOCUMENT_BYTES = 256 * 1024
_NAMES = ("AGENTS.override.md", "AGENTS.md")
# Each is an entry of config.toml, which travels in a variable: 128 KiB at the most.
_MOST_SKILLS = 300
_SHOWN = 5


def chosen(job: Job, proposal: Proposal | None) -> Instructions:
    """Return whose instructions the agent gets."""
    if job.instructions is not None:
        return job.instructions
    return Instructions.WORKSPACE if proposal is None else Instructions.BASE


def limit(job: Job) -> int:
    """Return how many bytes of instructions the agent gets: codex's `project_doc_max_bytes`, within our own bound."""
    wanted = job.codex.config.get("project_doc_max_bytes", _DOCUMENT_BYTES)
    return min(wanted, _MOST_DOCUMENT_BYTES) if isinstance(wanted, int) and wanted >= 0 else _DOCUMENT_BYTES


def names(job: Job) -> Sequence[str]:
    """Return the names that a file of instructions may have, in codex's order."""
    others = job.codex.config.get("project_doc_fallback_filenames", ())
    return (*_NAMES, *(name for name in others if isinstance(name, str) and name and "/" not in name))


def settings(survey: Survey, mode: Instructions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of config.toml that keep the repository out; they go on top of `given`, the job's own.

    ConfigurationError if the folder cannot be named there.
    """
    places = dict.fromkeys((survey.at, survey.root))
    if not all(place and _is_text(place) for place in places):
        raise ConfigurationError(
            f"cwd: {survey.at!r} cannot be named in codex's configuration (no UTF-8), so its `.codex` folder cannot be "
            "kept out.",
            remedy="Rename the folder.",
        )
    skills = given.get("skills", {})
    table = dict(skills) if isinstance(skills, dict) else {}
    table["config"] = [*table.get("config", ()), *({"path": path, "enabled": False} for path in _hidden(survey))]
    if not can_hide(survey) and mode is not Instructions.WORKSPACE:
        raise ConfigurationError(
            f"{_why_not(survey)}: the repository's own skills cannot all be switched off, and the job's `instructions` "
            f"is {mode.value!r}.",
            remedy="Have the repository's skills tidied up on its base first; or, if you trust who wrote them, set the "
            'job\'s `instructions` to "workspace".',
        )
    if mode is Instructions.NONE or not can_hide(survey):
        table["include_instructions"] = False
    return {
        "projects": {place: {"trust_level": "untrusted"} for place in places},
        # What codex would read by itself, had a later version another idea of "untrusted".
        "project_doc_max_bytes": 0,
        "skills": table,
    }


def effective(mode: Instructions, survey: Survey) -> Instructions:
    """Return the mode that holds: `none` if the base commit was wanted and is not there."""
    return Instructions.NONE if mode is Instructions.BASE and not survey.commit else mode


def text(survey: Survey, job: Job) -> str:
    """Return what codex gets as its AGENTS.md: the files joined, cut at the limit; empty if there is nothing to say."""
    return "\n\n".join(part for _, part in _given(survey, job) if part.strip())


def facts(survey: Survey, job: Job, mode: Instructions) -> dict[str, Any]:
    """Return what run.json says of the instructions. A digest is of the part that the agent got."""
    files = [
        {
            "path": survey.shown(document.path),
            "size": document.size,
            "given": len(data := part.encode()),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for document, part in _given(survey, job)
    ]
    return {
        "mode": mode.value,
        "commit": survey.commit or None,
        "files": files,
        "left_out": [survey.shown(path) for path in survey.project],
    }


def doubts(survey: Survey, job: Job, wanted: Instructions, proposal: Proposal | None) -> list[Warned]:
    """Return what a person should know of what the repository would have told codex."""
    found = []
    if survey.project:
        found.append(
            Warned(
                "project-config",
                f"{_listed(survey, survey.project)}: a repository's own configuration of codex is not obeyed, and was "
                "left out. Name what the job needs in `codex.config` (`mcp_servers`, for one).",
            )
        )
    if wanted is Instructions.BASE and not survey.commit:
        name = proposal.name if proposal else "this run"
        why = f" git says: {survey.no_base}." if survey.no_base else ""
        found.append(
            Warned(
                "instructions",
                f"The base commit of {name} is not in this clone, so the agent gets neither AGENTS.md nor skills.{why} "
                "Check out the whole history (`fetch-depth: 0`, GIT_DEPTH=0), or set the job's `instructions`.",
            )
        )
    if effective(wanted, survey) is Instructions.NONE:
        return found
    total = sum(document.size for document in survey.documents)
    if total > (most := limit(job)):
        found.append(
            Warned(
                "instructions",
                f"{_listed(survey, [document.path for document in survey.documents])}: {total} bytes of instructions, "
                f"of which the agent gets {most}. Shorten them, or raise `codex.config.project_doc_max_bytes`"
                f" ({_MOST_DOCUMENT_BYTES} at the most).",
            )
        )
    for paths, then in ((survey.unlisted, ""), (survey.unlisted_skills, "; the agent is told of no skills at all")):
        if paths:
            shown = _listed(survey, paths)
            sentence = f"{shown}: leads out of the repository, or cannot be read, and was left out{then}."
            found.append(Warned("instructions", sentence))
    if not can_hide(survey) and not survey.unlisted_skills:
        found.append(
            Warned(
                "instructions",
                f"The repository has {len(survey.skills)} skills, of which codex-runner can hand over {_MOST_SKILLS}: "
                "the agent is told of no skills at all.",
            )
        )
    return found


def _why_not(survey: Survey) -> str:
    if survey.unlisted_skills:
        return f"{_listed(survey, survey.unlisted_skills)} leads out of the repository, or cannot be read"
    return f"the repository has {len(survey.skills)} skills, of which codex-runner can hide {_MOST_SKILLS}"


def can_hide(survey: Survey) -> bool:
    """Whether every skill that codex would find in the repository by itself is known, and can be switched off."""
    return not survey.unlisted_skills and len(survey.skills) <= _MOST_SKILLS and all(map(_is_text, survey.skills))


def _hidden(survey: Survey) -> Sequence[str]:
    return [path for path in survey.skills if _is_text(path)][:_MOST_SKILLS]


def _given(survey: Survey, job: Job) -> Iterator[tuple[Document, str]]:
    """Yield each file of instructions with the part of it that the agent gets: the limit is that of all together."""
    left = limit(job)
    for document in survey.documents:
        data = document.data[:left]
        whole = data.decode("utf-8", "replace").replace("\0", "")
        # A character that the cut has halved goes; other bytes that are no UTF-8 stay visible.
        yield document, whole.rstrip("\ufffd") if len(data) < document.size else whole
        left = max(0, left - document.size)


def _listed(survey: Survey, paths: Sequence[str]) -> str:
    shown = ", ".join(survey.shown(path) for path in paths[:_SHOWN])
    more = len(paths) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
