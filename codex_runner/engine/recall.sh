# Reads what a host keeps of a run. $1: what is wanted. $2: the run.
attempts=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs/$2/attempts
case $1 in
attempts) # prints a line for each: the number, and `ended` if its agent has
	cd "$attempts" 2>/dev/null || exit 0
	for number in [0-9]*; do
		[ -e "$number/records" ] || continue
		if [ -e "$number/exit" ]; then echo "$number ended"; else echo "$number"; fi
	done
	;;
part) # of an attempt's records. $3: its number. $4: the first byte that is wanted, from 1 on. $5: how many.
	cd "$attempts/$3" && tail -c "+$4" records | head -c "$5"
	;;
esac
