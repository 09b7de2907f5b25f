# shellcheck shell=sh
# Finds the folder for temporary files of the runner's scripts. An agent in codex's sandbox may write to TMPDIR and /tmp,
# so secrets, outputs and files that the runner reads again must not be there. codex's permissions deny every agent the
# folder of the run directories, and everything below it.

no_core() { # a core dump of codex or of this shell would hold the key, in the working directory, readable by others
	# shellcheck disable=SC3045 # if the shell lacks it, only this protection is missing
	ulimit -c 0 2>/dev/null || :
}

find_scratch() { # RUNS: into $scratch. TMPDIR only if this user can have no run directories, so no agents. False: no room
	scratch=$1/.scratch
	if [ -d "$scratch" ] || (umask 077 && mkdir -p "$scratch") 2>/dev/null || [ -d "$scratch" ]; then return 0; fi
	above=$1
	while [ -n "$above" ] && [ ! -e "$above" ]; do
		case $above in */*) above=${above%/*} ;; *) above=. ;; esac
	done
	if [ -d "${above:-/}" ] && [ -w "${above:-/}" ]; then return 1; fi
	scratch=${TMPDIR:-/tmp}
}
