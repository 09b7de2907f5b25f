"""The image: built by buildah for the architecture of this machine, proven from within, pushed for all of them as one.

buildah needs no daemon. It works as root here, with a storage of its own, and leaves nothing but what was asked for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import packages
import tag

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


class Buildah:
    """buildah with a storage of its own, in a folder. Builds run in chroots, which work where containers may not."""

    def __init__(self, folder: Path) -> None:
        places = ["--root", str(folder / "storage"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
        self._words = ["buildah", *places]

    def __call__(self, *arguments: str) -> str:
        """Run a command of buildah's, and return what it prints. SystemExit if it fails."""
        done = subprocess.run([*self._words, *arguments], check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"`buildah {arguments[0]}` failed; the lines above say why.")
        return done.stdout.strip()


@contextlib.contextmanager
def storage() -> Iterator[Buildah]:
    """A buildah whose storage goes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        buildah = Buildah(Path(folder))
        yield buildah
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")


def debian(buildah: Buildah, root: Path) -> str:
    """Make an image of a Debian root, a tar archive, and return its name: a base where no registry is in reach."""
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(root), "/")
    buildah("commit", "--quiet", "--rm", container, "localhost/debian")
    return "localhost/debian"


def build(buildah: Buildah, wheel: Path, archive: Path, base: str = "") -> None:
    """Build the image with a wheel, prove it, and write it to an OCI archive. SystemExit if a step of it fails.

    `base` is what it is built on in place of what the Containerfile names.
    """
    facts = {"VERSION": tag.version(), "SOURCE": tag.source(), "REVISION": packages.revision()}
    arguments = [f"--build-arg={name}={value}" for name, value in facts.items()] + ([f"--from={base}"] if base else [])
    options = ["--isolation", "chroot", "--format", "oci", "--timestamp", packages.epoch(), "--quiet"]
    with tempfile.TemporaryDirectory() as scratch:
        context = _context(wheel, Path(scratch))
        told = buildah("build", *options, *arguments, "--file", str(packages.TOP / "Containerfile"), str(context))
    name = told.splitlines()[-1]
    container = buildah("from", name)
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    root, proof = buildah("mount", container), str(HERE / "image_proof.sh")
    if subprocess.run([*namespaces, "sh", str(HERE / "enter.sh"), root, "/work", proof], check=False).returncode != 0:
        sys.exit("The image is built, and does not keep what it promises; the lines above say why.")
    buildah("rm", container)
    buildah("push", "--quiet", name, f"oci-archive:{archive}")


def push(buildah: Buildah, name: str, version: str, archives: list[Path], *options: str) -> str:
    """Push the images of all architectures as one, by a version. Returns its digest. The registry's login is buildah's.

    `options` are buildah's own, such as `--tls-verify=false`.
    """
    index = f"localhost/{version}"
    buildah("manifest", "create", index)
    for archive in archives:
        buildah("manifest", "add", index, f"oci-archive:{archive}")
    with tempfile.NamedTemporaryFile() as digest:
        more = ["--all", "--format", "oci", "--digestfile", digest.name, *options]
        buildah("manifest", "push", *more, index, f"docker://{name}:{version}")
        return Path(digest.name).read_text(encoding="utf-8").strip()


def _context(wheel: Path, folder: Path) -> Path:
    for path in (wheel, HERE / "image.sh", *packages.LOCKS):
        shutil.copy(path, folder)
    if certificate := os.environ.get("PIP_CERT"):
        shutil.copy(certificate, folder / "ca.pem")
    return folder
