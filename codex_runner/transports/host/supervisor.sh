# shellcheck shell=sh
# The supervisor: the parent of codex, and the ticker beside it.

nap() { # SECONDS: a sleep that ends when its loop gets $TELL
	napping=soon
	sleep "$1" &
	napping=$!
	[ -z "$told" ] || leave_loop
	# Another signal may interrupt the wait, too.
	until wait "$napping" || ! kill -0 "$napping" 2>/dev/null; do :; done
	napping=
}

nap_ticks() { # NUMBER
	naps=0
	while [ "$naps" -lt "$1" ]; do
		nap "$tick"
		naps=$((naps + 1))
	done
}

looping() { # makes this subshell end on $TELL. If that comes before the pid of a new sleep is known, the sleep must end, too
	napping='' told=
	trap 'told=1; [ "$napping" = soon ] || leave_loop' "$TELL"
}

leave_loop() {
	[ -z "$napping" ] || finish "$napping"
	exit 0
}

tell() { # PID BIRTH SIGNAL, then CONT: the agent may have stopped the process, which then handles no signal. Only if it
	# is still that process: a shell reaps a child that has ended while it waits for another, and the system reuses the pid
	alive "$1" "$2" || return 0
	kill -s "$3" "$1" 2>/dev/null
	kill -s CONT "$1" 2>/dev/null
}

end_loop() { # PID BIRTH of a looping subshell
	[ -n "$1" ] || return 0
	tell "$1" "$2" "$TELL"
	[ "$teller" = printf ] || remind "$1" "$2"
	wait "$1" 2>/dev/null
}

remind() { # PID BIRTH of a looping subshell. A new one of mksh forgets a signal that comes before its own traps are set
	while alive "$1" "$2"; do
		tell "$1" "$2" "$TELL"
		pause
	done
}

note_stop() { # REASON: why codex is being ended; the first reason wins
	[ ! -s stop ] || return 0
	# By a link, so that it appears whole. A file that is made and then written is empty for a moment. The ticker once read
	# it then, and the supervisor wrote `terminated` over `cancelled`.
	{ printf '%s\n' "$1" >"stop.$1.$nonce" && ln "stop.$1.$nonce" stop; } 2>/dev/null || [ -s stop ] || write_preallocated stop "$1" 2>/dev/null
	rm -f "stop.$1.$nonce"
}

write_preallocated() { # FILE LINE...: writes even on a full disk, into a file that was allocated at the start
	file=$1
	shift
	printf '%s\n' "$@" 1<>"$file.room" && mv "$file.room" "$file"
}

has_room() { # true if the disk has room here. Leaves the file empty, so that each check asks for space again
	{ printf '%4096s' '' >room; } 2>/dev/null
	set -- $?
	# Not `:`: a shell would exit on it if our folder was removed (a special built-in).
	{ true >room; } 2>/dev/null
	return "$1"
}

read_tick() { # of the attempt in this folder. Attempts of earlier versions have no such file: a tick is a second
	tick=
	# Only a regular file: the agent may have put a fifo in its place, and opening that blocks for ever.
	if [ -f request ]; then { read -r _ _ _ _ _ _ tick _ <request; } 2>/dev/null; fi
	: "${tick:=1}"
}

ticker() { # counts its own ticks, never wall time: a machine that was suspended must not kill its runs
	looping
	ticks=0 idle=0 last='' span=0
	# Continue at the count of an earlier ticker that was killed.
	# shellcheck disable=SC2094 # read whole before it is written
	{ read -r ticks idle last <ticks; } 2>/dev/null
	case $ticks$idle in '' | *[!0-9]*) ticks=0 idle=0 ;; esac
	while :; do
		pace
		# Before the nap, so that even a ticker that lives briefly counts.
		ticks=$((ticks + span)) idle=$((idle + span))
		{ echo "$ticks $idle $last" >ticks; } 2>/dev/null
		if [ "$span" = 1 ]; then nap "$tick"; else nap $((tick * span)); fi
		alive $$ "$self_born" || outlive_supervisor
		# If codex ended at once, the signal that ends this ticker may have come before its trap.
		alive "$codex" "$codex_born" || {
			kill -s CONT $$ 2>/dev/null
			exit 0
		}
		no_pipes
		lease=
		{ read -r lease <../../lease; } 2>/dev/null
		[ "$lease" = "$last" ] || idle=0
		last=$lease
		[ "$ticks" -lt "$timeout" ] || note_stop timeout
		[ "$idle" -lt "$orphan" ] || note_stop orphaned
		has_room || note_stop disk-full
		# Another run may have removed them before it could see this one's codex.
		hold_points ../..
		# Send it again each time: a signal between the supervisor's check and its wait would be lost. If our folder was
		# removed, no runner can follow the agent any more, or write a stop request.
		if [ -e stop ] || [ ! -e request ]; then tell $$ "$self_born" "$TELL"; fi
		[ "$reaper" = reaper ] || note_descendants
	done
}

pace() { # the number of ticks of the next nap, into $span: a sleep is a process, and most of the cost of waiting
	span=$((span < 4 ? span + 1 : 4))
	[ "$span" -le $((orphan / 8)) ] || span=$((orphan / 8))
	[ "$span" -le $((timeout - ticks)) ] || span=$((timeout - ticks))
	# With longer naps, snapshots would miss more of the agent's processes. A sleep of parts of a second is not multiplied.
	case $reaper:$tick in plain:* | *.*) span=1 ;; esac
	if [ "$span" -lt 1 ] || [ -e stop ]; then span=1; fi
}

outlive_supervisor() { # the supervisor was killed, perhaps by the OOM killer: its ticker ends the processes left behind
	reaper=plain
	end_alone lost
	exit 0
}

end_alone() { # REASON: ends codex if its supervisor, its parent, is dead
	note_stop "$1"
	end_left
	write_exit
}

end_left() { # ends codex, if it is alive, and all its leftover processes
	codex='' birth='' status=-
	read_tick
	{ read -r codex birth <codex.pid; } 2>/dev/null
	if alive "$codex" "$birth"; then
		note_descendants
		end_codex "$birth" &
		killer=$!
		born "$killer"
		killer_born=$born
		while alive "$codex" "$birth"; do pause; done
		end_loop "$killer" "$killer_born"
	fi
	sweep
	remove_points ../..
}

end_codex() { # BIRTH: INT, 2 ticks, TERM, 1 tick, KILL: codex ends cleanly on INT only; TERM and KILL orphan its commands
	looping
	kill -INT "$codex" 2>/dev/null
	nap_ticks 2
	! alive "$codex" "$1" || kill -TERM "$codex" 2>/dev/null
	nap_ticks 1
	! alive "$codex" "$1" || kill -KILL "$codex" 2>/dev/null
}

tend_ticker() { # starts a ticker if none is alive: it may have been killed or stopped, and only it enforces time limits
	[ -z "$tending" ] || return 0
	tending=1
	# Called by a trap, at any point: some shells run it in the middle of a wait, others do not interrupt a wait for it.
	was_born=$born was_group=$group
	if alive "$ticking" "$ticking_born"; then
		kill -s CONT "$ticking" 2>/dev/null
	elif alive "$codex" "$codex_born"; then
		ticker &
		ticking=$!
		born "$ticking"
		ticking_born=$born
	fi
	born=$was_born group=$was_group tending=
}

await_codex() { # waits for its end, however often the wait is interrupted; its status into $status
	killer='' killer_born=
	while :; do
		tend_ticker
		if [ -n "$stopping" ] && ! alive "$killer" "$killer_born"; then
			note_stop terminated
			[ "$reaper" = reaper ] || note_descendants
			end_codex "$codex_born" &
			killer=$!
			born "$killer"
			killer_born=$born
		fi
		wait "$codex"
		status=$?
		# bash has returned -1 when two signals came at once: that is an interrupted wait, too.
		[ "$status" -ge 0 ] || status=145
		# Above 128 it may be an interrupted wait: while the process, or its zombie, is there, wait again.
		if [ "$status" -le 128 ] || ! kill -0 "$codex" 2>/dev/null; then break; fi
	done
	trap - CHLD
	trap '' "$TELL"
	tries=0
	# The last wait may have been interrupted as well, just when codex ended. The shell keeps its status: wait again.
	while [ "$status" -gt 128 ] && [ "$tries" -lt 20 ]; do
		wait "$codex" 2>/dev/null
		again=$? tries=$((tries + 1))
		case $again in
		-* | 145 | 148) pause ;;
		"$status") break ;;
		127) # codex's own code, or the shell has forgotten a status that it told
			case $status in 145 | 148) status=127 ;; esac
			break
			;;
		*) status=$again ;;
		esac
	done
	# The number of CHLD, by the system: it ends no process. bash has told this of a codex that was killed, after five waits.
	case $status in 145 | 148) status=- ;; esac
	end_loop "$killer" "$killer_born"
}

open_outputs() { # opens codex's output files for reading
	outputs=opened
	if [ -f stdout ] && [ -f stderr ]; then exec 7<stdout 8<stderr; else exec 7</dev/null 8</dev/null; fi
}

no_pipes() { # removes fifos that the agent may have put in place of our files: opening one blocks for ever
	for one in ../../lease ticks room stop seen exit; do
		[ ! -p "$one" ] || rm -f "$one"
	done
}

write_exit() { # once, by rename (atomic): the only end that the runner believes
	no_pipes
	code=$status signal=-
	if [ "$status" = - ]; then
		code=-
	elif [ "$status" -gt 128 ]; then
		code=- signal=$((status - 128))
	fi
	# codex may have died of a full disk before the ticker noticed.
	[ "$status" = 0 ] || has_room || note_stop disk-full
	stopped=none
	{ read -r stopped <stop; } 2>/dev/null
	# From the descriptors that the supervisor opened at the start: by now, the names may be those of other files.
	[ -n "$outputs" ] || open_outputs
	# shellcheck disable=SC2046 # numbers: checksum and size, then size
	set -- $(cksum <&7) $(wc -c <&8)
	set -- "code $code" "signal $signal" "stopped $stopped" "cksum $1" "bytes $2" "stderr_bytes $3" "swept $swept" \
		"killed $killed"
	{ printf '%s\n' "$@" >exit.new && mv exit.new exit; } 2>/dev/null || write_preallocated exit "$@"
}

export_environment() { # NAME=VALUE...: these, and the lines of $environment, each NAME ENCODED
	# All at once, and last: a job's variable may have the name of one of ours. From then on, trust only "$@".
	IFS=$NL
	set -f
	for line in $environment; do
		decode "${line#* }"
		set -- "${line%% *}=$decoded" "$@"
	done
	unset IFS
	set +f
	# shellcheck disable=SC2163 # each is NAME=VALUE
	[ $# = 0 ] || export "$@"
}

become_codex() { # in a subshell, stdin, stdout and stderr in place: the environment, the directory, the program
	# Only with the lock held: a front that merely joins must not touch the configuration of a running codex.
	{ cp config "$home/config.toml" && { [ ! -f schema ] || cp schema "$home/output-schema.json"; } &&
		{ [ ! -f instructions ] || cp instructions "$home/AGENTS.md"; } && cd "$cwd"; } || exit 125
	unset OLDPWD
	# Record the pid before codex runs: so an attempt with an empty codex.pid has never run codex.
	find_own_process
	echo "$me $born" >&3 || exit 126
	export_environment "$MARK=$run/$attempt/" "CODEX_HOME=$home"
	exec "$@" 3>&-
}

supervise() { # in the attempt's staging directory; stdin: the environment's lines, then a dot
	reaper=$1
	no_core
	{ read -r nonce run attempt timeout orphan retention tick && IFS= read -r line; } <request || exit 1
	decode "$line"
	cwd=$decoded
	identify_host
	born $$
	self_born=$born
	printf '%s %s %s %s %s\n' "$host_id" "$boot_id" $$ "$self_born" "$node" >pid || exit 1
	environment='' line=
	while IFS= read -r line && [ "$line" != . ]; do environment="$environment$line$NL"; done
	[ "$line" = . ] || exit 1
	set --
	while IFS= read -r line; do
		decode "$line"
		set -- "$@" "$decoded"
	done <args
	{ : >stdout && : >stderr && : >codex.pid; } || exit 1
	open_outputs
	# Before the folder is renamed: a shell may resolve `..` by the old name.
	home=$(cd -P ../.. && pwd -P) || exit 1
	runs=${home%/*} home=$home/home
	workspaces=${runs%/*}/workspaces

	# Once we hold the lock, a stop sends TERM.
	choose_signal
	stopping=
	trap 'stopping=1' TERM
	trap 'stopping=1' "$TELL"
	# The lock. If the attempt exists already, mv fails or moves us into it: another supervisor holds it.
	mv "../.$attempt.$nonce" "../$attempt" 2>/dev/null
	held_by=
	{ read -r held_by line <"../$attempt/request"; } 2>/dev/null
	if [ "$held_by" != "$nonce" ]; then
		rm -rf "../$attempt/.$attempt.$nonce" "../.$attempt.$nonce"
		say joined
		exit 0
	fi
	withdraw_if_discarded
	end_if_cancelled
	hold_points "${home%/home}"
	(become_codex "$@") <prompt >>stdout 2>>stderr 3>>codex.pid 7<&- 8<&- &
	codex=$!
	environment=
	# The front may be dead by now. Trapped and not ignored: the agent would inherit an ignored signal.
	trap : PIPE
	say new
	# The front waits for the end of our answer: close stdout.
	exec >/dev/null
	born "$codex"
	codex_born=$born ticking='' ticking_born='' tending=
	trap tend_ticker CHLD
	await_codex
	end_loop "$ticking" "$ticking_born"
	sweep
	remove_points "${home%/home}"
	# If our folder was removed, codex may have made parts of it again.
	[ -e request ] || [ -e "${home%/home}/attempts" ] || {
		is_discarded "$run" || write_tombstone "$run" but-workspace
		rm -rf "${home%/home}"
	}
	write_exit
	wake_followers
	prune
}

wake_followers() { # they poll at intervals, and need not wait for the next one
	for one in follower.*; do
		{ read -r pid birth <"$one"; } 2>/dev/null && alive "$pid" "$birth" && kill -USR1 "$pid" 2>/dev/null
	done
}

prune() { # runs that no runner has collected within the retention (seconds); a live runner touches its run's folder
	cd "$home/../.." || return
	unset OLDPWD
	# Files of killed scripts. On this host their shells are known to be dead; elsewhere a preflight has a minute, and a
	# large upload may take hours.
	remove_dead_homes
	for one in .scratch/*; do
		[ ! -e "$one" ] ||
			find .scratch ! -name .scratch -prune \( -mmin +1440 -o -name 'codex.*' -mmin +10 \) -exec rm -rf {} + 2>/dev/null
		break
	done
	list_older "$retention" | while read -r old; do
		case $old in .*) continue ;; esac
		for one in "$old"/attempts/[0-9]*; do
			if [ ! -e "$one/exit" ] && { held "$one" || elsewhere "$one"; }; then continue 2; fi
		done
		(write_tombstone "$old" all && remove_run "$old" all) >/dev/null 2>&1
	done
	cd ../workspaces 2>/dev/null && list_older "$retention" | while read -r old; do
		[ -e "../runs/$old" ] || rm -rf "$old"
	done
	cd ../skills 2>/dev/null && list_older "$retention" | while read -r old; do
		[ -e "../runs/$old" ] || rm -rf "$old"
	done
	# Mirrors that no run has used for a month.
	cd ../mirrors 2>/dev/null && list_older 2592000 | while read -r old; do
		grep -qxF "$PWD/$old/objects" ../workspaces/*/.git/objects/info/alternates 2>/dev/null || rm -rf "$old"
	done
	remove_old_tombstones
}

list_older() { # SECONDS: the folders in here that have not been touched for so long
	# Only names of our own shape: a name with a line break would name other folders.
	find . ! -name . -prune -type d -name '[A-Za-z0-9.]*' ! -name '*[!A-Za-z0-9._-]*' -mmin "+$(($1 / 60))" | sed 's,^\./,,'
}
