"""Project trust: the repository may give codex instructions, but no file of it changes sandbox, programs or model.

codex 0.163 trusts the project of a job that may write, without asking, and then obeys its `.codex` folder. It starts
the MCP servers and hooks named there outside the sandbox, and they can read codex's token from /proc. So the runner
sets every project to `untrusted`, which both 0.163 and 0.171 honour. codex then ignores the repository's AGENTS.md as
well. The runner hands over the files and skills that the job's `instructions` choose, in the run's own CODEX_HOME.
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

# The first is codex's default of `project_doc_max_bytes`. More than the second does not fit into a host's answer.
_DOCUMENT_BYTES = 32 * 1024
_MOST_DOCUMENT_BYTES = 256 * 1024
_NAMES = ("AGENTS.override.md", "AGENTS.md")
# Each skill is an entry of config.toml, which is sent in an environment variable: 128 KiB at most.
_MOST_SKILLS = 300
_SHOWN = 5


def chosen(job: Job, proposal: Proposal | None) -> Instructions:
    """Return the job's `instructions`. The default is BASE on a pull or merge request, otherwise WORKSPACE."""
    if job.instructions is not None:
        return job.instructions
    return Instructions.WORKSPACE if proposal is None else Instructions.BASE


def limit(job: Job) -> int:
    """Return the limit of the agent's instructions in bytes: codex's `project_doc_max_bytes`, or ours if less."""
    wanted = job.codex.config.get("project_doc_max_bytes", _DOCUMENT_BYTES)
    return min(wanted, _MOST_DOCUMENT_BYTES) if isinstance(wanted, int) and wanted >= 0 else _DOCUMENT_BYTES


def names(job: Job) -> Sequence[str]:
    """Return the names of instruction files, in codex's order."""
    others = job.codex.config.get("project_doc_fallback_filenames", ())
    return (*_NAMES, *(name for name in others if isinstance(name, str) and name and "/" not in name))


def settings(survey: Survey, mode: Instructions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of config.toml that disable the repository's own settings. They override `given`, the job's.

    Raises ConfigurationError if the folder's name is not UTF-8, or if the repository's skills cannot be disabled and
    `mode` is not WORKSPACE.
    """
    places = dict.fromkeys((survey.at, survey.root))
    if not all(place and _is_text(place) for place in places):
        raise ConfigurationError(
            f"cwd: {survey.at!r} cannot be named in codex's configuration, since it is not UTF-8. So the runner cannot "
            "disable its `.codex` folder.",
            remedy="Rename the folder.",
        )
    skills = given.get("skills", {})
    table = dict(skills) if isinstance(skills, dict) else {}
    table["config"] = [*table.get("config", ()), *({"path": path, "enabled": False} for path in _hidden(survey))]
    if not can_hide(survey) and mode is not Instructions.WORKSPACE:
        raise ConfigurationError(
            f"{_why_not(survey)}: the repository's own skills cannot all be switched off, and the job's `instructions` "
            f"is {mode.value!r}.",
            remedy="Fix the repository's skills on its base branch first. Or, if you trust their authors, set the "
            'job\'s `instructions` to "workspace".',
        )
    if mode is Instructions.NONE or not can_hide(survey):
        table["include_instructions"] = False
    return {
        "projects": {place: {"trust_level": "untrusted"} for place in places},
        # A safeguard: a later version of codex might read these files even if the project is untrusted.
        "project_doc_max_bytes": 0,
        "skills": table,
    }


def effective(mode: Instructions, survey: Survey) -> Instructions:
    """Return the mode that applies: NONE if `mode` is BASE and the clone lacks the base commit."""
    return Instructions.NONE if mode is Instructions.BASE and not survey.commit else mode


def text(survey: Survey, job: Job) -> str:
    """Return the text of codex's AGENTS.md: the files joined, cut at the limit. Returns "" if there are none."""
    return "\n\n".join(part for _, part in _given(survey, job) if part.strip())


def facts(survey: Survey, job: Job, mode: Instructions) -> dict[str, Any]:
    """Return the facts about the instructions for run.json. A digest is of the part that the agent got."""
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
    """Return warnings about instructions and settings of the repository that codex does not get."""
    found = []
    if survey.project:
        found.append(
            Warned(
                "project-config",
                f"{_listed(survey, survey.project)}: the runner left out the repository's own configuration of codex. "
                "Put what the job needs into `codex.config`, such as `mcp_servers`.",
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
    """Return True if the runner knows every skill that codex would find in the repository, and can disable it."""
    return not survey.unlisted_skills and len(survey.skills) <= _MOST_SKILLS and all(map(_is_text, survey.skills))


def _hidden(survey: Survey) -> Sequence[str]:
    return [path for path in survey.skills if _is_text(path)][:_MOST_SKILLS]


def _given(survey: Survey, job: Job) -> Iterator[tuple[Document, str]]:
    """Yield each instruction file with the part that the agent gets. The limit applies to all files together."""
    left = limit(job)
    for document in survey.documents:
        data = document.data[:left]
        whole = data.decode("utf-8", "replace").replace("\0", "")
        # Drop a character that the cut has halved; other bytes that are not UTF-8 stay visible.
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
