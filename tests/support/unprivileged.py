"""A user that is not root, whoever runs the tests: root may read all of everybody, which hides what others may."""

import os
import subprocess
import sys
from pathlib import Path

USER = 48_620  # nobody's, and no less a user for that

REPOSITORY = Path(__file__).parents[2]

# In a mount namespace of its own, whose $closed (root's home, say) is an empty folder but for the $paths below it.
_BECOME = """
set -e
user=$1 closed=$2 stash=$(mktemp -d)
shift 2
for path in $paths; do
	mkdir "$stash/$((number += 1))"
	mount --bind "$path" "$stash/$number"
done
[ -z "$closed" ] || mount -t tmpfs -o mode=755 none "$closed"
number=0
for path in $paths; do
	mkdir -p "$path"
	mount --move "$stash/$((number += 1))" "$path"
	rmdir "$stash/$number"
done
rmdir "$stash"
unset paths number
exec setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all --bounding-set=-all -- "$@"
"""


def prefix():
    """Return the words that a command line begins with to run as that user, None where it cannot be done.

    It sees Python and the repository where they are, though a folder above them lets nobody else in.
    """
    if os.geteuid() != 0:
        return []
    needed = {Path(sys.base_prefix), Path(sys.prefix), REPOSITORY}
    closed = [folder for path in needed for folder in path.parents if not folder.stat().st_mode & 0o001]
    top = min(closed, key=lambda folder: len(folder.parts), default=None)
    below = [path for path in needed if top and path.is_relative_to(top)]
    outer = [path for path in below if not any(other in path.parents for other in below)]
    paths = f"paths={' '.join(map(str, outer))}"
    words = ["env", "number=0", paths, "unshare", "--mount", "sh", "-c", _BECOME, "sh", str(USER), str(top or "")]
    program = "import codex_runner, os; print(os.getuid())"
    tried = subprocess.run([*words, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return words if tried.stdout.strip() == str(USER) else None
