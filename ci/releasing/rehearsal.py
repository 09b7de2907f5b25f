"""A release without an account: all that a tag's workflow does, as far as one machine can, and a list of the rest."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import bill
import image
import packages
import tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Programs of the system that the image needs, each in the Debian package of its name.
PROGRAMS = ("buildah", "mmdebstrap", "docker-registry")
# The Debian of the Containerfile's base, by the name that Debian's archive has for it.
SUITE = "trixie"

# What no machine without the owner's accounts can do.
NEVER = (
    "upload to PyPI: trusted publishing and the attestations need the identity that GitHub gives to a workflow",
    "ask PyPI whether the name is free and its pending publisher is set",
    "build the image for the other architecture, and on Docker's Debian in place of a root of Debian's packages",
    "push the image to ghcr.io, and attest it",
    "make the release on GitHub, and move the tag that users of the action name",
    "run the workflow: actionlint and zizmor have read it, but have not looked up the actions that it pins",
    "release on GitLab: the catalogue takes the component with the release",
    "run the suite against the wheel: TEST_WHEEL={wheel} ci/test",
)


class Skipped(Exception):  # noqa: N818 - not an error: it goes into the list at the end
    """A step that this machine cannot do; the text says why."""


@dataclass
class Rehearsal:
    """One rehearsal, whose results stay in a folder."""

    folder: Path
    left: list[str] = field(default_factory=list)

    @property
    def built(self) -> Path:
        """The folder with sdist and wheel, and nothing else."""
        return self.folder / "packages"

    @property
    def wheel(self) -> Path:
        """The built wheel."""
        return packages.wheel(self.built)

    def judge_the_tag(self) -> None:
        """Say what is in the way of a tag today, and extract the notes."""
        name = f"v{tag.version()}"
        self.left += [f"before the tag {name}: {problem}" for problem in tag.problems(name)]
        try:
            notes = tag.notes(name)
        except LookupError:
            notes = tag.unreleased()
        (self.folder / "notes.md").write_text(notes, encoding="utf-8")
        if not notes.strip():
            sys.exit("CHANGELOG.md has no notes, neither of this version nor of what is unreleased.")

    def build_packages(self) -> None:
        """Build sdist and wheel twice, and check them."""
        if packages.is_dirty():
            self.left.append("build what is not committed: the commit alone is released")
        made = packages.build(self.built)
        packages.lint(made)
        for path in made:
            say(f"{packages.digest(path)}  {path.name}: the same bytes each time")

    def use_the_wheel(self) -> None:
        """Install the built file as a user does, and run the demo with it."""
        with tempfile.TemporaryDirectory() as scratch:
            environment = bill.install(self.wheel, Path(scratch) / "environment", f"{self.wheel}[demo]")
            runner = str(environment / "bin" / "codex-runner")
            told = run([runner, "--version"], cwd=scratch, stdout=subprocess.PIPE)
            if told.split()[-1] != tag.version():
                sys.exit(f"`codex-runner --version` says {told!r}, and the version is {tag.version()}.")
            run([runner, "demo", "--output-dir", f"{scratch}/out"], cwd=scratch)

    def write_the_bill(self) -> None:
        """Write the bill of materials."""
        bill.write(self.wheel, self.folder / f"codex-runner-{tag.version()}.cdx.json")

    def read_the_pipelines(self) -> None:
        """Lint what the forges run, and the Containerfile."""
        workflow = str(packages.TOP / ".github" / "workflows" / "release.yml")
        run(["actionlint", workflow])
        run(["zizmor", "--offline", "--no-progress", "--quiet", workflow])
        run(["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(packages.TOP / ".gitlab-ci.yml")])
        run(["hadolint", str(packages.TOP / "Containerfile")])

    def build_the_image(self) -> None:
        """Build the image on a root of Debian's packages, prove it, push it to a registry here, and pull it back."""
        need_programs()
        archive = self.folder / "image.tar"
        archive.unlink(missing_ok=True)
        with image.storage() as buildah, tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch) / "root.tar"
            run(["mmdebstrap", "--quiet", "--variant=minbase", SUITE, str(root)])
            image.build(buildah, self.wheel, archive, image.debian(buildah, root))
            with registry(Path(scratch)) as address:
                name, insecure = f"{address}/codex-runner", "--tls-verify=false"
                digest = image.push(buildah, name, tag.version(), [archive], insecure)
                buildah("pull", "--quiet", insecure, f"docker://{name}@{digest}")
                say(f"pushed to a registry here, and pulled back by {digest}")


def run_all(folder: Path) -> int:
    """Rehearse a release into an empty folder. Returns the exit code; SystemExit if a step fails."""
    rehearsal = Rehearsal(folder)
    steps: list[Callable[[], None]] = [
        rehearsal.judge_the_tag,
        rehearsal.build_packages,
        rehearsal.use_the_wheel,
        rehearsal.write_the_bill,
        rehearsal.read_the_pipelines,
        rehearsal.build_the_image,
    ]
    for step in steps:
        say((step.__doc__ or "").rstrip("."))
        try:
            step()
        except Skipped as reason:
            rehearsal.left.append(f"{(step.__doc__ or '').strip('.').lower()}: {reason}")
    print("\nDone, in " + os.path.relpath(folder) + ":")
    print("\n".join(f"  {path.relative_to(folder)}" for path in sorted(folder.rglob("*")) if path.is_file()))
    print("\nNot done:")
    print("\n".join(f"  - {each.format(wheel=os.path.relpath(rehearsal.wheel))}" for each in (*rehearsal.left, *NEVER)))
    return 0


def need_programs() -> None:
    """Install what the image needs, if root can. Raises Skipped with what to install otherwise."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        raise Skipped("it needs root")
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise Skipped(f"it needs {', '.join(missing)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # no server that is installed starts
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=quiet, stdout=subprocess.PIPE)


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry of images on this machine, without TLS, while the context lasts; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = folder / "registry.yml"
    settings.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n",
        encoding="utf-8",
    )
    with subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                    break
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def run(command: list[str], **more: object) -> str:
    """Run a command, and return its stdout if that is a pipe. SystemExit if it fails."""
    done = subprocess.run(command, check=False, text=True, **more)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}; the lines above say why.")
    return done.stdout or ""


def say(text: str) -> None:
    """Say on stderr what happens now, as the scripts beside this folder do."""
    print(f"\033[1m==>\033[0m {text}", file=sys.stderr, flush=True)
