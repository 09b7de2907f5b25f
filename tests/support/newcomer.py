"""A user who has never seen codex-runner, and follows a page of the docs to the letter."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import tomli_w

from codex_runner import __version__

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = ("gh", "pipx", "sudo", "systemctl")  # programs of a newcomer's machine; here, calls are only noted
OPTIONAL = ("crontab", "systemd-analyze")  # these check a file, if this machine has them


def section(page, title):
    """The text of a page below a heading."""
    text = (DOCS / f"{page}.md").read_text()
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text):
    """The fenced blocks, in their order: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Newcomer:
    """A clone of an empty repository, a home, and a model service that takes one key."""

    def __init__(self, folder, service, key):
        self.folder, self.service, self.key = folder, service, key
        self.programs, self.home, self.clone = folder / "programs", folder / "home", folder / "app"
        self.origin = folder / "acme" / "app.git"
        self.programs.mkdir()
        self.home.mkdir()
        ours = Path(sys.executable).parent
        (self.programs / "codex-runner").symlink_to(ours / "codex-runner")
        # This interpreter, without its packages.
        self.program("python3", f'exec "{sys._base_executable}" "$@"')
        for name in PROGRAMS:
            self.program(name, f'echo "{name} $*" >>"{folder}/noted"\n[ -t 0 ] || cat >/dev/null')
        elsewhere = [each for each in os.environ["PATH"].split(":") if Path(each).resolve() != ours.resolve()]
        path = ":".join([str(self.programs), *elsewhere])
        self.environ = {"PATH": path, "HOME": str(self.home), "USER": "root"}
        (self.home / ".gitconfig").write_text(
            "[user]\nname = Ada\nemail = ada@example.com\n[init]\ndefaultBranch = main\n[push]\ndefault = current\n"
        )
        self.shell(f"git init --quiet --bare '{self.origin}'", folder)
        self.shell(f"git clone --quiet '{self.origin}' '{self.clone}' 2>/dev/null", folder)
        self.shell("echo '# App' >README.md && git add README.md && git commit --quiet -m Begin && git push --quiet")
        self.said = ""
        # No account exists here: this is added to the configuration that the pages let the newcomer write.
        self.account = {"codex": {"model": "gpt-5.5", "config": service.with_api_key(key).config}}

    def program(self, name, script):
        """Have a program in PATH."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def use_access_token(self, token):
        """Have an account with an access token in place of a key."""
        self.key = token
        setup = self.service.with_access_token(token)
        environment = {name: value for name, value in setup.environment.items() if name != "CODEX_ACCESS_TOKEN"}
        self.account = {"codex": {"model": "gpt-5.5", "config": setup.config, "env": environment}}

    def shell(self, line, cwd=None, stdin=""):
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=cwd or self.clone,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done

    def follow(self, page, title="From nothing to green", example=str):
        """Do what a section says, block by block. What it says will be written must be there then.

        `example` puts what is the newcomer's own in place of what the page has as an example.
        """
        for language, text in blocks(section(page, title)):
            if language == "toml":
                self.configure(example(text))
            elif language == "sh":
                for line in example(text).splitlines():
                    self._do(line)

    def _do(self, line):
        command, _, comment = line.partition(" #")
        if command.startswith(OPTIONAL) and shutil.which(command.split()[0]) is None:
            return
        done = self.shell(command, stdin=self.key)
        self.said += done.stdout + done.stderr
        if command.startswith("systemd-analyze"):
            assert done.stderr == ""
        _, promised, files = comment.partition("writes ")
        for name in re.split(", | and ", files) if promised else ():
            if " " in name:
                break  # what else there is to say
            assert (self.clone / name).exists(), f"{line}: {name} is not there"

    def configure(self, text):
        """Put the lines of a block into the tables that they name."""
        file, given = self.clone / "codex-runner.toml", tomllib.loads(text)
        settings = tomllib.loads(file.read_text()) | self.account
        settings["jobs"]["overview"] |= given.pop("jobs")["overview"]
        file.write_text(tomli_w.dumps(settings | given))

    def unreleased(self, file):
        """Have a file of the clone install this very codex-runner, which no index has."""
        path, package = self.clone / file, str(DOCS.parent)
        text, count = re.subn(rf"\bcodex-runner=={re.escape(__version__)}", package, path.read_text())
        assert count == 1
        path.write_text(text)

    @property
    def noted(self):
        """What the newcomer did with programs that only a real machine, or GitHub, has."""
        return (self.folder / "noted").read_text().splitlines()
