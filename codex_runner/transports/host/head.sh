# shellcheck shell=sh
# The host's side of a run: POSIX sh, nothing to install. One script, three lives:
#
#   front      what the runner talks to: reads framed requests from stdin and answers them, one after the other
#   supervise  what stays: detached, the parent of codex, the only one that writes `exit`
#   ticker     a loop beside the supervisor: time limits, the lease, stop requests
#
# The run directory is the protocol: <state>/codex-runner/runs/<run-id>/{home,lease,attempts/N/...}. `attempts/N` appears
# by one rename, complete, with its supervisor's pid inside: that rename is the lock, and there is never a half-made
# attempt to guess about. Everything is read and verified before it, so that torn input starts nothing.
#
# Values of a job are data lines, never script text. Functions first and the call on the last line, so that a
# truncated script runs nothing. No here-documents: some shells put them into files, and lines may be secret.
#
# No substitution of a command within quotes, `${...}` or `$((...))`, only in an assignment, bare: a signal that bash 5.2
# hears while it expands one there makes it take the trap for a syntax error and exit. A supervisor was lost so.

# The account's environment may want a trace. Once the connection is gone, the shell would die of it and leave children.
set +xv

constants() {
	NL='
'
	MAGIC='codex-runner/1'
	MARK=CODEX_RUNNER_MARK
	LISTING=16777216 # bytes of names, at the most, of the files in a folder
	KEPT=1048576     # bytes, at the most, of what a command prints
	QUIET=20         # seconds
	tick=1           # seconds: what supervisors count in, unless their request says otherwise
	outputs=
	# Not every shell has a printf of its own (mksh), and the arguments of a program are there for all to see.
	teller='print'
	if PATH=/nowhere printf '' 2>/dev/null; then teller='printf'; fi
}
constants

emit() { # TEXT: on a line, and by no program
	case $teller in
	printf) printf '%s\n' "$1" ;;
	*) print -r -- "$1" ;;
	esac
}

say() { emit "$nonce $*"; }

refuse() { # WORD MESSAGE: tell the runner why nothing was done, and end
	words=$(emit "$*" | tr '\n' ' ')
	say error "${words% }"
	exit 1
}

decode() { # ENCODED: into $decoded, trailing newlines and all
	decoded=$1
	case $1 in
	*\\*)
		case $teller in
		printf) decoded=$(printf '%b.' "$1") ;;
		*) decoded=$(print -n -- "$1.") ;;
		esac
		decoded=${decoded%.}
		;;
	esac
}

