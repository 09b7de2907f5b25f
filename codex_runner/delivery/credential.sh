# shellcheck shell=sh
# git's credential helper. git appends its operation to the last line: `get` takes the next answer from the runner's pipe.
# The token is nowhere else: no argument, variable or file has it. `dd` reads exactly one answer; more may follow.

# shellcheck disable=SC2120 # see above
answer() { # OPERATION
	[ "$1" != get ] || dd bs="$ANSWER_BYTES" count=1 <"/dev/fd/$ANSWER_PIPE" 2>/dev/null
}
# shellcheck disable=SC2119 # see above
answer
