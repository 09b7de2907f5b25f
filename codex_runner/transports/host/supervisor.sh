# shellcheck shell=sh
# The supervisor: the parent of codex, and the ticker beside it.

nap() { # SECONDS: a sleep that goes when its loop is told to
	napping=soon
	sleep "$1" &
	napping=$!
	[ -z "$told" ] || leave_loop
	# Another signal than that may interrupt the wait.
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

looping() { # until $TELL, whenever that comes: a sleep that has just begun, and has no name yet, must not be left behind
	napping='' told=
	trap 'told=1; [ "$napping" = soon ] || leave_loop' "$TELL"
}

leave_loop() {
	[ -z "$napping" ] || finish "$napping"
	exit 0
}

tell() { # PID SIGNAL: also if it was stopped, by the agent for one: then it hears nothing before it goes on
	kill -s "$2" "$1" 2>/dev/null
	kill -s CONT "$1" 2>/dev/null
}

end_loop() { # PID of a looping subshell
	[ -n "$1" ] || return 0
	tell "$1" "$TELL"
	[ "$teller" = printf ] || remind "$1"
	wait "$1" 2>/dev/null
}

remind() { # PID of a looping subshell. A new one of mksh forgets a signal that comes before its own traps are set
	born "$1"
	while [ -n "$born" ]; do
		tell "$1" "$TELL"
		pause
		born "$1"
	done
}

note_stop() { # REASON: why codex is being ended; the first one wins
	[ ! -s stop ] || return 0
	# By a link, so that it appears whole. A file that is made and then written is empty for a moment. The ticker saw it so,
	# and the supervisor wrote `terminated` over `cancelled`.
	{ printf '%s\n' "$1" >"stop.$1.$nonce" && ln "stop.$1.$nonce" stop; } 2>/dev/null || [ -s stop ] || set_down stop "$1" 2>/dev/null
	rm -f "stop.$1.$nonce"
}

set_down() { # FILE LINE...: for a full disk, in the room that was taken for it at the start
	file=$1
	shift
	printf '%s\n' "$@" 1<>"$file.room" && mv "$file.room" "$file"
}

has_room() { # can anything be written here? The file is left empty, so that each look asks for space anew
	{ printf '%4096s' '' >room; } 2>/dev/null
	set -- $?
	# Not `:`, with which a shell would end where our folder has been removed.
	{ true >room; } 2>/dev/null
	return "$1"
}

read_tick() { # of the attempt in this folder. Without one, as an earlier version writes it, a tick is a second
	tick=
	# Only a file: the agent may have put a pipe in its place, and whatever opens one waits for ever.
	if [ -f request ]; then { read -r _ _ _ _ _ _ tick _ <request; } 2>/dev/null; fi
	: "${tick:=1}"
}

ticker() { # counts its own ticks, never wall time, so that a machine that was suspended does not kill its runs
	looping
	ticks=0 idle=0 last='' span=0
	# One that was killed has counted so far.
	# shellcheck disable=SC2094 # read whole before it is written
	{ read -r ticks idle last <ticks; } 2>/dev/null
	case $ticks$idle in '' | *[!0-9]*) ticks=0 idle=0 ;; esac
	while :; do
		pace
		# Before the nap, so that each ticker counts, however short its life is.
		ticks=$((ticks + span)) idle=$((idle + span))
		{ echo "$ticks $idle $last" >ticks; } 2>/dev/null
		if [ "$span" = 1 ]; then nap "$tick"; else nap $((tick * span)); fi
		alive $$ "$self_born" || inherit
		# Where codex ended as soon as it began, the signal that is to end us may have come before our trap.
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
		# At each look again: a signal that falls between the supervisor's check and its wait would be lost. Where our
		# folder has been removed, nobody can follow the agent any more, nor say in a file that it is to end.
		if [ -e stop ] || [ ! -e request ]; then tell $$ "$TELL"; fi
		[ "$reaper" = reaper ] || remember
	done
}

pace() { # for how many ticks the next nap is, into $span: a sleep is a process, and most of what waiting costs
	span=$((span < 4 ? span + 1 : 4))
	[ "$span" -le $((orphan / 8)) ] || span=$((orphan / 8))
	[ "$span" -le $((timeout - ticks)) ] || span=$((timeout - ticks))
	# Snapshots of what the agent has begun would miss more of it; and a sleep of parts of a second is not multiplied.
	case $reaper:$tick in plain:* | *.*) span=1 ;; esac
	if [ "$span" -lt 1 ] || [ -e stop ]; then span=1; fi
}

inherit() { # the supervisor was killed (by the OOM killer, say): its ticker ends what it has left behind
	reaper=plain
	end_alone lost
	exit 0
}

end_alone() { # REASON: end codex where its supervisor, its parent, is dead
	note_stop "$1"
	end_left
	write_exit
}

end_left() { # codex, if it is alive, and all that it has left
	codex='' birth='' status=-
	read_tick
	{ read -r codex birth <codex.pid; } 2>/dev/null
	if alive "$codex" "$birth"; then
		remember
		executioner &
		killer=$!
		while alive "$codex" "$birth"; do pause; done
		end_loop "$killer"
	fi
	sweep
	remove_points ../..
}

executioner() { # INT, 2 ticks, TERM, 1 tick, KILL: codex ends cleanly on INT only; TERM and KILL orphan its commands
	looping
	kill -INT "$codex" 2>/dev/null
	nap_ticks 2
	kill -TERM "$codex" 2>/dev/null
	nap_ticks 1
	kill -KILL "$codex" 2>/dev/null
}

tend_ticker() { # begins one if there is none: it may have been killed or stopped, and nobody else keeps the time limits
	[ -z "$tending" ] || return 0
	tending=1
	# This may be within anything: some shells come here in the middle of a wait, and others do not leave a wait for it.
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

await_codex() { # until it is gone, whatever interrupts; its status into $status
	killer='' killer_born=
	while :; do
		tend_ticker
		if [ -n "$stopping" ] && ! alive "$killer" "$killer_born"; then
			note_stop terminated
			[ "$reaper" = reaper ] || remember
			executioner &
			killer=$!
			born "$killer"
			killer_born=$born
		fi
		wait "$codex"
		status=$?
		# bash was seen to answer -1 while two signals came at once: that is an interrupted wait, too.
		[ "$status" -ge 0 ] || status=145
		# Above 128 it may be an interrupted wait: while the process, or its zombie, is there, wait again.
		if [ "$status" -le 128 ] || ! kill -0 "$codex" 2>/dev/null; then break; fi
	done
	trap - CHLD
	trap '' "$TELL"
	tries=0
	# The last wait may have been interrupted as well, in the moment in which codex went. Its status is kept for us.
	while [ "$status" -gt 128 ] && [ "$tries" -lt 5 ]; do
		wait "$codex" 2>/dev/null
		again=$? tries=$((tries + 1))
		[ "$again" -ge 0 ] || continue
		case $again in 127) case $status in 145 | 148) ;; *) break ;; esac ;; esac # CHLD, by the system
		status=$again
	done
	end_loop "$killer"
}

open_outputs() { # what codex prints, for reading
	outputs=opened
	if [ -f stdout ] && [ -f stderr ]; then exec 7<stdout 8<stderr; else exec 7</dev/null 8</dev/null; fi
}

no_pipes() { # the agent may have put some in the places of our files: whoever opens one waits for ever
	for one in ../../lease ticks room stop seen exit; do
		[ ! -p "$one" ] || rm -f "$one"
	done
}

write_exit() { # once, by rename: what the runner believes, whatever else it hears
	no_pipes
	code=$status signal=-
	if [ "$status" = - ]; then
		code=-
	elif [ "$status" -gt 128 ]; then
		code=- signal=$((status - 128))
	fi
	# It may have died of a full disk before anybody looked.
	[ "$status" = 0 ] || has_room || note_stop disk-full
	stopped=none
	{ read -r stopped <stop; } 2>/dev/null
	# By what was opened at the start, by the supervisor: the names may be those of something else by now.
	[ -n "$outputs" ] || open_outputs
	# shellcheck disable=SC2046 # numbers: checksum and size, then size
	set -- $(cksum <&7) $(wc -c <&8)
	set -- "code $code" "signal $signal" "stopped $stopped" "cksum $1" "bytes $2" "stderr_bytes $3" "swept $swept" \
		"killed $killed"
	{ printf '%s\n' "$@" >exit.new && mv exit.new exit; } 2>/dev/null || set_down exit "$@"
}

export_environment() { # NAME=VALUE...: these, and the lines of $environment, each NAME ENCODED
	# All at once, and last: a job's variable may have the name of one of ours. From then on only "$@" is to be trusted.
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
	# Behind the lock: whoever merely joins must not touch the configuration of a codex that runs.
	{ cp config "$home/config.toml" && { [ ! -f schema ] || cp schema "$home/output-schema.json"; } &&
		{ [ ! -f instructions ] || cp instructions "$home/AGENTS.md"; } && cd "$cwd"; } || exit 125
	unset OLDPWD
	# The pid is on record before codex runs: an attempt whose codex.pid is empty has never run one.
	myself
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
	here
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
	# Before the folder is renamed: a shell may look for `..` by the name that it knows.
	home=$(cd -P ../.. && pwd -P) || exit 1
	runs=${home%/*} home=$home/home
	workspaces=${runs%/*}/workspaces

	# From the lock on, a stop sends TERM.
	choose_signal
	stopping=
	trap 'stopping=1' TERM
	trap 'stopping=1' "$TELL"
	# The lock. Where the attempt is there already, mv fails or puts us inside it: somebody else holds it.
	mv "../.$attempt.$nonce" "../$attempt" 2>/dev/null
	held_by=
	{ read -r held_by line <"../$attempt/request"; } 2>/dev/null
	if [ "$held_by" != "$nonce" ]; then
		rm -rf "../$attempt/.$attempt.$nonce" "../.$attempt.$nonce"
		say joined
		exit 0
	fi
	withdraw_if_entombed
	end_if_cancelled
	(become_codex "$@") <prompt >>stdout 2>>stderr 3>>codex.pid 7<&- 8<&- &
	codex=$!
	environment=
	# The front may be dead by now. Caught, not ignored: a signal that is ignored would be ignored by the agent too.
	trap : PIPE
	say new
	# Whoever reads our answer waits for the end of it.
	exec >/dev/null
	born "$codex"
	codex_born=$born ticking='' ticking_born='' tending=
	trap tend_ticker CHLD
	await_codex
	end_loop "$ticking"
	sweep
	remove_points "${home%/home}"
	# Where our folder has been removed, codex may have made some of it anew.
	[ -e request ] || [ -e "${home%/home}/attempts" ] || {
		entombed "$run" || entomb "$run" but-workspace
		rm -rf "${home%/home}"
	}
	write_exit
	wake_followers
	prune
}

wake_followers() { # they look each so many moments, and need not wait for the next one
	for one in follower.*; do
		{ read -r pid birth <"$one"; } 2>/dev/null && alive "$pid" "$birth" && kill -USR1 "$pid" 2>/dev/null
	done
}

prune() { # what nobody has collected for so many seconds; all that a live runner does touches its run's folder
	cd "$home/../.." || return
	unset OLDPWD
	# What a killed script has left. Whoever looks at codex has a minute for that, and a large upload may take hours.
	for one in .scratch/*; do
		[ ! -e "$one" ] ||
			find .scratch ! -name .scratch -prune \( -mmin +1440 -o -name 'codex.*' -mmin +10 \) -exec rm -rf {} + 2>/dev/null
		break
	done
	older "$retention" | while read -r old; do
		case $old in .*) continue ;; esac
		for one in "$old"/attempts/[0-9]*; do
			if [ ! -e "$one/exit" ] && { held "$one" || elsewhere "$one"; }; then continue 2; fi
		done
		(entomb "$old" all && bury "$old" all) >/dev/null 2>&1
	done
	cd ../workspaces 2>/dev/null && older "$retention" | while read -r old; do
		[ -e "../runs/$old" ] || rm -rf "$old"
	done
	cd ../skills 2>/dev/null && older "$retention" | while read -r old; do
		[ -e "../runs/$old" ] || rm -rf "$old"
	done
	# What workspaces are made from, once no run has used it for a month.
	cd ../mirrors 2>/dev/null && older 2592000 | while read -r old; do
		grep -qxF "$PWD/$old/objects" ../workspaces/*/.git/objects/info/alternates 2>/dev/null || rm -rf "$old"
	done
	forget
}

older() { # SECONDS: the folders in here that have not been touched for so long
	# No name that is not ours: one of several lines would name other folders.
	find . ! -name . -prune -type d -name '[A-Za-z0-9.]*' ! -name '*[!A-Za-z0-9._-]*' -mmin "+$(($1 / 60))" | sed 's,^\./,,'
}
