# Reads what codex recorded of a run's threads, in its home. $1: what is wanted. $2: the run.
sessions=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs/$2/home/sessions
if [ "$1" = part ]; then # $3: a file. $4: the first byte that is wanted, from 1 on. $5: how many.
	cd "$sessions" && tail -c "+$4" "$3" | head -c "$5"
	exit
fi
cd "$sessions" 2>/dev/null || exit 0
# The quotes are those of the record itself: within a text they would have backslashes before them.
case $1 in
last-count) # $3: the thread
	find . -name "rollout-*-$3.jsonl" -exec grep -h '"type":"token_count"' {} + | tail -n 1
	;;
last-turn) # where the last turn begins or ends. $3: the thread
	find . -name "rollout-*-$3.jsonl" -exec grep -hE '"type":"(task_started|task_complete|turn_aborted)"' {} + | tail -n 1
	;;
files) # prints the size and the name of each thread's file, in the order in which they were begun
	find . -type f -name "rollout-*.jsonl" | sort | while IFS= read -r file; do echo "$(($(wc -c <"$file"))) $file"; done
	;;
esac
