# shellcheck shell=sh
# A home of codex for the runner's own questions. Functions of scratch.sh and leftovers.sh come before this text.

own_home() { # makes a folder that lasts as long as this script, into $scratch; the run directories' folder into $runs
	no_core
	runs=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs
	# Not in TMPDIR, where another run's agent may put an `.env` into it: codex would send the token to the proxy in that.
	find_scratch "$runs" || { echo "full $scratch"; exit 0; }
	own=$(mktemp -d "$scratch/codex.$(uname -n).$$.XXXXXX") || { echo "full $scratch"; exit 0; }
	scratch=$own
	trap 'end_helpers "$scratch/"; rm -rf "$scratch"' EXIT
	# On a full disk codex would only fail, without a word.
	{ printf '%65536s' '' >"$scratch/room"; } 2>/dev/null || { echo "full ${scratch%/*}"; exit 0; }
}
