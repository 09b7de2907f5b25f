"""Users other than root, even if root runs the tests: root may read all files, and would hide what others may."""

import os
import subprocess
import sys
from pathlib import Path

# User ids without an entry in the password database.
USER = 48_620
AGENT = 48_621

REPOSITORY = Path(__file__).parents[2]

# A mount namespace of its own. In it, both users have a name, and $closed (such as root's home) has only the $paths
# below it. The system itself stays as it is.
_WORLD = """
set -e
user=$1 agent=$2 agents_home=$3 closed=$4 stash=$(mktemp -d)
shift 4
{
	cat /etc/passwd
	echo "codex-user:x:$user:$user::/nonexistent:/bin/sh"
	echo "codex-agent:x:$agent:$agent::$agents_home:/bin/sh"
} >"$stash/passwd"
chmod 644 "$stash/passwd"
mount --bind "$stash/passwd" /etc/passwd
rm "$stash/passwd"
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
exec "$@"
"""


def world(agents_home="/nonexistent"):
    """Return the words before a command of root's that is to know both users, and to let them see Python and us."""
    needed = {Path(sys.base_prefix), Path(sys.prefix), REPOSITORY}
    closed = [folder for path in needed for folder in path.parents if not folder.stat().st_mode & 0o001]
    top = min(closed, key=lambda folder: len(folder.parts), default=None)
    below = [path for path in needed if top and path.is_relative_to(top)]
    outer = [path for path in below if not any(other in path.parents for other in below)]
    variables = ["env", "number=0", f"paths={' '.join(map(str, outer))}"]
    return [
        *(*variables, "unshare", "--mount", "sh", "-c", _WORLD, "sh"),
        *(str(USER), str(AGENT), str(agents_home), str(top or "")),
    ]


def prefix():
    """Return the words before a command line that is to run as USER, an empty list if the tests do not run as root.

    Returns None if root cannot become another user here.
    """
    if os.geteuid() != 0:
        return []
    become = [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]
    words = [*world(), *become, "--"]
    program = "import codex_runner, os; print(os.getuid())"
    tried = subprocess.run([*words, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return words if tried.stdout.strip() == str(USER) else None


def give(folder, user):
    """Make a folder and all below it a user's, if the tests run as root."""
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user, user)
