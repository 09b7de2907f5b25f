# shellcheck shell=sh
# The keeper: the parent of one command of the job's own, a check. It ends what the command leaves, as the supervisor does
# for the agent. Each of four signals tells it to end the command at once: a start-up file may have set some of them to be
# ignored. On the runner's own machine, so does the end of its stdin, which the runner holds.

keep() { # HOW keep WHERE MARK COMMAND...; stdin: the environment's lines, then a dot. WHERE is `here` or `there`
	reaper=$1 where=$3 run=$4 attempt=check told='' working='' listening=
	shift 4
	environment='' line=
	while IFS= read -r line && [ "$line" != . ]; do environment="$environment$line$NL"; done
	[ "$line" = . ] || exit 1
	choose_signal
	born $$
	keeper_born=$born
	trap : PIPE
	for one in TERM USR2 ALRM HUP; do trap 'told=1; end_command' "$one"; done
	exec 5<&0
	(export_environment "$MARK=$run/$attempt/" && leader "$@") </dev/null 5<&- &
	working=$!
	environment=
	if [ "$where" = here ]; then
		(
			while IFS= read -r line; do :; done
			! alive $$ "$keeper_born" || kill -s "$TELL" $$ # it may have been killed long ago
		) <&5 >/dev/null 2>&1 &
		listening=$!
	fi
	exec 5<&- </dev/null
	# Leave this folder: no program of ours is to read what the agent may have put into it.
	cd / || exit 1
	[ -z "$told" ] || end_command
	while [ -z "$told" ]; do
		wait "$working" 2>/dev/null # some shells print a message about a killed child
		status=$?
		# An interrupted wait returns more than 128, too; bash has returned -1.
		[ "$status" -ge 0 ] || status=145
		if [ "$status" -le 128 ] || ! kill -0 "$working" 2>/dev/null; then break; fi
	done
	if [ -z "$told" ]; then
		[ -z "$listening" ] || finish "$listening"
	else
		# Do not wait again: bash was seen to wait for ever for a child that had ended when a signal came.
		[ -z "$listening" ] || kill -KILL "$listening" 2>/dev/null
		for one in $working $listening; do
			while born "$one" && [ -n "$born" ]; do pause; done
		done
		status=137
	fi
	for one in TERM USR2 ALRM HUP; do trap '' "$one"; done
	end_leftovers
	exit "$status"
}

end_orphans() { # MARK: ends what a command left whose keeper was killed, perhaps by the command; call it in a subshell
	reaper=plain run=$1 attempt=check
	cd / && sweep
}

end_command() { # ends its process group, whose leader it may not be yet
	[ -z "$working" ] || kill -KILL "-$working" 2>/dev/null || kill -KILL "$working" 2>/dev/null
}

end_leftovers() { # ends all that the command has left, and reports it. If a process survives, the check fails
	vanished=
	find_leftovers
	[ -n "$left$vanished" ] || return 0
	pause # some may be about to end by themselves
	find_leftovers
	names=
	for pid in $left; do
		stat=
		{ read -r stat <"/proc/$pid/stat"; } 2>/dev/null
		stat=${stat#*"("}
		[ -z "$stat" ] || names="$names, ${stat%")"*}"
	done
	sweep
	names=$(printf '%s' "${names#, }" | tr -cd ' -~') # busybox's tr has no [:print:]
	if [ "$swept" = failed ]; then
		echo "codex-runner: processes that this command left behind could not be ended: $names." >&2
		[ "$status" != 0 ] || status=125
	elif [ "$killed" = 0 ]; then
		:
	elif [ "$killed" = 1 ]; then
		echo "codex-runner: 1 process that this command left behind was ended: $names." >&2
	else
		echo "codex-runner: $killed processes that this command left behind were ended: $names." >&2
	fi
}
