# Reads codex's records (rollouts) of a run's threads from its home. $1: the command. $2: the run.
sessions=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs/$2/home/sessions
if [ "$1" = part ]; then # $3: a file. $4: the first byte, counted from 1. $5: the number of bytes.
	cd "$sessions" && tail -c "+$4" "$3" | head -c "$5"
	exit
fi
cd "$sessions" 2>/dev/null || exit 0
# The pattern's quotes match only JSON's own: quotes within a text have backslashes before them.
case $1 in
last-count) # $3: the thread
	find . -name "rollout-*-$3.jsonl" -exec grep -h '"type":"token_count"' {} + | tail -n 1
	;;
last-turn) # the beginning or end of the last turn. $3: the thread
	find . -name "rollout-*-$3.jsonl" -exec grep -hE '"type":"(task_started|task_complete|turn_aborted)"' {} + | tail -n 1
	;;
files) # prints the size and the name of each thread's file, oldest first
	find . -type f -name "rollout-*.jsonl" | sort | while IFS= read -r file; do echo "$(($(wc -c <"$file"))) $file"; done
	;;
esac
