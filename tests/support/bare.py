"""A PATH of a host that lacks some programs."""

import os
from pathlib import Path


def path_without(folder, *names, sh=None):
    """Make a folder with a link to every program but these, and return it; `sh` is the program to call so."""
    folder.mkdir(parents=True)
    for place in reversed(os.environ["PATH"].split(":")):
        for program in Path(place).glob("*"):
            if not any(program.name == name or program.name.startswith((f"{name}3.", f"{name}5.")) for name in names):
                link = folder / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    if sh is not None:
        (folder / "sh").unlink(missing_ok=True)
        (folder / "sh").symlink_to(sh)
    return folder
