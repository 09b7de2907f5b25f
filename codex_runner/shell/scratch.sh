# shellcheck shell=sh
# Where temporary files of the runner's own scripts lie. An agent in codex's sandbox may write to TMPDIR and /tmp, so nothing
# that holds a secret or an output, or that the runner reads again, lies there. codex's permissions deny to every agent the
# folder of the run directories, and whatever lies below it.

no_core() { # a core of codex, or of us, would hold its key: in the folder in which it ran, for all to read
	# shellcheck disable=SC3045 # without it, nothing is lost but this
	ulimit -c 0 2>/dev/null || :
}

find_scratch() { # RUNS: into $scratch. TMPDIR only if this user can have no run directories, and so no agents. False: no room
	scratch=$1/.scratch
	if [ -d "$scratch" ] || (umask 077 && mkdir -p "$scratch") 2>/dev/null || [ -d "$scratch" ]; then return 0; fi
	above=$1
	while [ -n "$above" ] && [ ! -e "$above" ]; do
		case $above in */*) above=${above%/*} ;; *) above=. ;; esac
	done
	if [ -d "${above:-/}" ] && [ -w "${above:-/}" ]; then return 1; fi
	scratch=${TMPDIR:-/tmp}
}
