# shellcheck shell=sh
# The host's side of a run: POSIX sh, nothing to install. One script, three lives:
#
#   front      serves the runner: reads framed requests from stdin and answers them, one after the other
#   supervise  detached, survives the connection: the parent of codex, the only process that writes `exit`
#   ticker     a loop beside the supervisor: enforces time limits, the lease and stop requests
#
# The run directory is the protocol: <state>/codex-runner/runs/<run-id>/{home,lease,attempts/N/...}. `attempts/N` appears
# by one rename, complete, with its supervisor's pid inside. That rename is the lock, so an attempt is never half made.
# The front reads and verifies everything before it, so that torn input starts nothing.
#
# Values of a job are data lines, never script text. Functions first and the call on the last line, so that a
# truncated script runs nothing. No here-documents: some shells put them into files, and lines may be secret.
#
# Command substitutions are bare, in an assignment, never within quotes, `${...}` or `$((...))`. If a signal comes while
# bash 5.2 expands a nested one, bash takes the trap for a syntax error and exits. A supervisor was lost that way.

# The account's environment may turn on a trace. After the connection is gone, its output would kill this shell, and leave
# children.
set +xv

constants() {
	NL='
'
	MAGIC='codex-runner/1'
	MARK=CODEX_RUNNER_MARK
	LISTING=16777216 # bytes of names, at the most, of the files in a folder
	KEPT=1048576     # bytes, at the most, of what a command prints
	QUIET=20         # seconds
	tick=1           # seconds: the supervisor's unit of time, unless the request has another
	outputs=
	# Not every shell has a built-in printf (mksh), and all users can see the arguments of a program.
	teller='print'
	if PATH=/nowhere printf '' 2>/dev/null; then teller='printf'; fi
}
constants

emit() { # TEXT: prints a line with a built-in, never a program
	case $teller in
	printf) printf '%s\n' "$1" ;;
	*) print -r -- "$1" ;;
	esac
}

say() { emit "$nonce $*"; }

refuse() { # WORD MESSAGE: tells the runner why nothing was done, and exits
	words=$(emit "$*" | tr '\n' ' ')
	say error "${words% }"
	exit 1
}

decode() { # ENCODED: into $decoded, with trailing newlines
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

