"""Builds the docs as a site, and judges what was built. See ci/pages.

The documents are those that people read on GitHub, unchanged. What a site needs beyond them is made here, in a folder
of its own: one place for all pages, links to the repository for what is no page, and lists as Python-Markdown wants
them. `llms.txt` lists each page's Markdown for programs that read.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w
from page_judge import judge, unlike

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOP = Path(__file__).parent.parent

# All pages, in the order in which a reader wants them, each with what it answers. The title is the first heading.
SECTIONS = {
    "Get started": {
        "README.md": "what it is, a demo without an account, a first job, the commands, and how each promise is kept",
        "docs/installation.md": "pipx, uv, pip, the extras, and what works before the first release",
        "docs/getting-started.md": "a job that changes files, prompts with variables, a token from Vault, a pipeline",
        "docs/recipes.md": "whole jobs: docs, release notes, test triage, dependency report, reproduced bugs",
    },
    "Vault and SSH": {
        "docs/vault.md": "logins, one token a workflow, the rules by which it is judged, storing and rotating",
        "docs/ssh.md": "the same job on a host that OpenSSH reaches, and what happens when the line breaks",
    },
    "Delivery": {
        "docs/gate.md": "whether a run has anything to do, decided before the agent and for nothing",
        "docs/delivery.md": "one branch and one pull request a workflow, which the next night updates",
    },
    "CI systems": {
        "docs/github-actions.md": "from nothing to a green job, with GitHub's identity at Vault",
        "docs/gitlab-ci.md": "from nothing to a green job, with GitLab's identity at Vault",
        "docs/jenkins.md": "from nothing to a green job, with a key from Jenkins or Vault",
        "docs/azure-pipelines.md": "from nothing to a green job, with a secret variable or Vault",
        "docs/forgejo.md": "from nothing to a green job, with a secret or Vault",
        "docs/cron.md": "from nothing to a green job each night, without a CI system",
        "docs/systemd.md": "from nothing to a green job each night, as a service with a timer",
    },
    "Reference": {
        "docs/configuration.md": "every key of codex-runner.toml, with its type, default and effect",
        "docs/cli.md": "every command, argument and option",
        "docs/exit-codes.md": "how a run ended, as a number, and who can fix it",
        "docs/failures.md": "each class of failure: what it means, whether a retry helps, what to do",
        "docs/reports.md": "each file that a run leaves, and who reads it",
        "docs/events.md": "every kind of event in events.jsonl, with its fields",
        "docs/image.md": "an image with codex, bubblewrap and the runner, without root",
        "docs/notifications.md": "webhooks, Slack, Microsoft Teams and ntfy",
        "docs/metrics.md": "metrics for Prometheus, traces for OpenTelemetry",
    },
    "Security": {
        "docs/security.md": "each promise with its test, what is redacted, and what is not promised",
        "docs/audit.md": "who, what, with whose token: the audit of a run, signed, and a review before it",
        "docs/threat-model.md": "who might attack, what leaves the machine, and where the protection ends",
        "SECURITY.md": "how to report a hole in private, and which versions get fixes",
        "docs/compatibility.md": "what stays the same, how a key goes, and which versions of codex are taken",
    },
    "How it works": {
        "docs/how-it-works.md": "the flow of a run, the run directory, the supervisor, the claim",
        "docs/dependencies.md": "each package, and why it is there",
        ".github/CONTRIBUTING.md": "how the code is laid, the words, and what a change needs",
        "docs/releasing.md": "what one tag does, and the owner's clicks before the first",
        "CHANGELOG.md": "what changed in each version",
    },
    "Decisions": {
        "docs/adr/README.md": "the choices that are hard to undo, with what would change our mind",
        "docs/adr/0001-openssh-and-no-library.md": "the system's ssh connects",
        "docs/adr/0002-files-and-not-pipes.md": "codex writes into files, and readers follow by offset",
        "docs/adr/0003-no-daemon.md": "nothing is installed on a host, and nothing stays there",
        "docs/adr/0004-exec-and-app-server.md": "a run that nobody attends is one codex exec",
        "docs/adr/0005-junit-xml.md": "a small library builds the report, and the runner completes and reads it back",
        "docs/adr/0006-own-supervisor-in-sh.md": "a POSIX script is codex's parent",
        "docs/adr/0007-gits-program.md": "git judges what was changed, guarded against the repository",
        "docs/adr/0008-no-forge-sdk.md": "some fifteen endpoints over httpx",
        "docs/adr/0009-dataclasses.md": "values are dataclasses, whose methods are made at first use",
        "docs/adr/0010-no-computer-use.md": "an agent gets commands and files, and no screen",
    },
}
# Names of pages whose files have another one, or would get in each other's way.
NAMES = {
    "README.md": "index.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    "docs/adr/README.md": "adr/index.md",
}
# Shorter titles than the first headings, for the navigation.
TITLES = {
    "README.md": "Overview",
    "docs/vault.md": "Vault",
    "docs/ssh.md": "SSH hosts",
    "docs/cli.md": "Command line",
    "docs/reports.md": "Reports",
}
ASSETS = ("docs/demo.svg", "docs/run.schema.json")

# Nothing is loaded from elsewhere: the browser refuses it, whatever a later version of the generator puts into a page.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)


class SiteError(Exception):
    """What is wrong with the documents or the site, a line each."""


# --- from documents to pages -----------------------------------------------------------------------------------------


def page_of(document: str) -> str:
    """Return the path of a document's page below the folder of all pages."""
    return NAMES.get(document, document.removeprefix("docs/"))


def built(site: Path, document: str) -> Path:
    """Return the file of a document's page in the built site."""
    page = site / page_of(document)
    return page.with_suffix(".html") if page.stem == "index" else page.with_suffix("") / "index.html"


def documents() -> tuple[str, ...]:
    return tuple(document for section in SECTIONS.values() for document in section)


def unplaced(top: Path = TOP) -> list[str]:
    """Return the documents of docs/ that no section has."""
    return sorted({path.relative_to(top).as_posix() for path in (top / "docs").rglob("*.md")} - set(documents()))


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the text in pieces of whole lines, each with whether it is a fenced block."""
    for number, piece in enumerate(re.split(r"^( *```.*?^ *```$\n?)", text, flags=re.MULTILINE | re.DOTALL)):
        yield number % 2 == 1, piece


def heading(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    if found is None:
        raise SiteError(f"no heading in {text[:40]!r}")
    return found[1].replace("`", "")


def page(document: str, text: str) -> str:
    """Return the text of a document as that of its page. Raises SiteError for a link that leads nowhere."""
    return "".join(_block(piece) if fenced else _prose(document, piece) for fenced, piece in pieces(text))


def _block(text: str) -> str:
    """Indent a fenced block within a list as its item is indented: see `_lists`."""
    indent = text[: len(text) - len(text.lstrip(" "))]
    return re.sub(r"^(?=.)", indent, text, flags=re.MULTILINE)


def _prose(document: str, text: str) -> str:
    text = _lists(text)
    # What is code is no link. In a table, GitHub wants a backslash before its |, and Python-Markdown none.
    spans = re.split(r"(``.*?``|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(
        part.replace("\\|", "|")
        if part.startswith("`")
        else re.sub(r"(?<=\]\()[^)\s]+", lambda found: link(document, found[0]), part)
        for part in spans
    )


def _lists(text: str) -> str:
    """Write lists as Python-Markdown wants them.

    GitHub needs two columns for each level, and no empty line between a paragraph and a list.
    """
    lines: list[str] = []
    in_paragraph = False
    for line in text.splitlines(keepends=True):
        is_item = re.match(r" *([-*]|\d+\.) ", line) is not None
        if is_item and in_paragraph:
            lines.append("\n")
        if is_item or not line.strip():
            in_paragraph = False
        elif not lines or not lines[-1].strip():
            in_paragraph = True
        lines.append(re.sub(r"^( +)", r"\1\1", line))
    return "".join(lines)


def link(document: str, target: str) -> str:
    """Return the target of a link from a document's page: another page, or the repository."""
    path, hash_mark, fragment = target.partition("#")
    if re.match(r"[a-z]+:", target) or not path:
        return target
    there = os.path.normpath(Path(document).parent / path)
    if not (TOP / there).exists():
        raise SiteError(f"{document}: the link {target} leads nowhere")
    if there in documents() or there in ASSETS:
        return os.path.relpath(page_of(there), Path(page_of(document)).parent) + hash_mark + fragment
    kind = "tree" if (TOP / there).is_dir() else "blob"
    return f"{repository()}/{kind}/main/{there}{hash_mark}{fragment}"


def repository() -> str:
    """Return the repository's address: the one that a workflow runs in, else the package's."""
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and name:
        return f"{server}/{name}"
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project.get("urls", {}).get("Source", "https://github.com/OWNER/codex-runner"))


# --- the build -------------------------------------------------------------------------------------------------------


def build(scratch: Path, url: str) -> Path:
    """Build the site in a folder and return the folder of its pages. Raises SiteError with the generator's words."""
    if missing := unplaced():
        raise SiteError("\n".join(f"{each}: on no page; add it to SECTIONS in ci/pages.py" for each in missing))
    texts = {document: (TOP / document).read_text(encoding="utf-8") for document in documents()}
    pages = scratch / "pages"
    for document, text in texts.items():
        written = pages / page_of(document)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(page(document, text), encoding="utf-8")
    for asset in (*ASSETS, "ci/pages.css"):
        shutil.copy(TOP / asset, pages)
    settings = tomllib.loads((TOP / "ci/pages.toml").read_text(encoding="utf-8"))
    settings["project"]["site_url"] = url
    settings["project"]["nav"] = [
        {name: [{TITLES.get(each) or heading(texts[each]): page_of(each)} for each in section]}
        for name, section in SECTIONS.items()
    ]
    settings["project"]["extra"] = {"social": [{"icon": "fontawesome/brands/git-alt", "link": repository()}]}
    (scratch / "zensical.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        ["zensical", "build", "--strict"],
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode(errors="replace"))
        raise SiteError(told.partition("Traceback (most recent call last)")[0])
    site = scratch / "site"
    for each in site.rglob("*.html"):
        each.write_text(finished(each.read_text(encoding="utf-8")), encoding="utf-8")
    for document in texts:  # for programs that read
        shutil.copy(pages / page_of(document), site / page_of(document))
    (site / "llms.txt").write_text(llms(texts, url), encoding="utf-8")
    return site


def finished(text: str) -> str:
    """Return a built page with the policy for its browser, and with the places where long words of code may break."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    text = text.replace("<head>", f"<head>{policy}", 1)
    return re.sub(r"<pre.*?</pre>|<code>[^<]+</code>", _breakable, text, flags=re.DOTALL)


def _breakable(code: re.Match[str]) -> str:
    return code[0] if code[0].startswith("<pre") else re.sub(r"(?<!<)([/_.=|])(?=\w)", r"\1<wbr>", code[0])


def llms(texts: Mapping[str, str], url: str) -> str:
    """Return the list of all pages for programs that read: https://llmstxt.org."""
    settings = tomllib.loads((TOP / "ci/pages.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"# {settings['site_name']}", "", f"> {settings['site_description']}"]
    for name, section in SECTIONS.items():
        lines += ["", f"## {name}", ""]
        lines += [f"- [{heading(texts[each])}]({url}{page_of(each)}): {told}" for each, told in section.items()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="ci/pages")
    parser.add_argument("folder", nargs="?", type=Path, help="keep the pages here; the folder must not exist")
    parser.add_argument("--url", default="https://OWNER.github.io/codex-runner/", help="where they will be published")
    given = parser.parse_args(arguments)
    url = given.url.rstrip("/") + "/"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            site = build(Path(scratch), url)
        except SiteError as error:
            print(error, file=sys.stderr)
            return 1
        wrong = [*judge(site, url), *unlike({each: (built(site, each), TOP / each) for each in documents()})]
        print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
        if given.folder and not wrong:
            shutil.copytree(site, given.folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
