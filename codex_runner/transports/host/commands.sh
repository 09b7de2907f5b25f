# shellcheck shell=sh
# Commands of the runner's own: looking at what is installed, and the checks of a job.

execute() { # the request: runs a script with its arguments within a time limit. The answer has the last MiB of its
	# output; for `ask`, its stdout and its stderr apart
	timeout='' cwd_line='' args='' environment='' body=''
	while read_line && [ "$line" != ".$nonce" ]; do
		value=${line#* }
		case $line in
		"timeout "*) timeout=$value ;;
		"cwd "*) cwd_line=$value ;;
		"arg "*) args="$args.$value$NL" ;; # the dot keeps an empty one from being lost below
		"env "*) take_variable ;;
		"script "*) body=$value ;;
		*) refuse protocol "unknown line in the request" ;;
		esac
	done
	[ "$line" = ".$nonce" ] || refuse torn "the request ended early"
	received
	# The runner may be gone when a shell prints that its job was killed. The shell must survive that, to clean up.
	# Caught, not ignored, which the command would inherit.
	trap : PIPE
	make_temporary_file
	# Unlinked from here on: nothing remains even if we are killed. Three descriptors, since readers move theirs.
	# shellcheck disable=SC2094 # on purpose
	exec 6>"$output" 7<"$output" 8<"$output"
	rm -f "$output"
	if [ "$verb" = ask ]; then
		make_temporary_file
		# shellcheck disable=SC2094 # on purpose
		exec 9>"$output" 3<"$output" 4<"$output"
		rm -f "$output"
	else
		exec 9>&6 3</dev/null 4</dev/null
	fi
	decode "$body"
	body=$decoded
	IFS=$NL
	set -f --
	for line in $args; do
		decode "${line#.}"
		set -- "$@" "$decoded"
	done
	unset IFS
	set +f
	decode "$cwd_line"
	# A script of the runner's own needs no folder: a missing home is no error.
	if [ -z "$decoded" ]; then
		cd "${HOME:-/}" 2>/dev/null || cd /
	else
		cd "$decoded" || refuse cwd "$decoded is not a directory that can be entered"
	fi
	# Some shells give a background command /dev/null for stdin before they look at its redirections.
	exec 5<&0
	set -- sh -c -- "$body" sh "$@"
	begin_work || refuse taken "$taken"
	if [ "$verb" = execute ] && is_cancelled; then
		end_work
		unless_cancelled
	fi
	if [ "$verb" = execute ]; then
		# shellcheck disable=SC2154 # script: this very text
		emit "$environment." |
			(reaping 5 sh -c -- "$script" sh keep there "$nonce" "$@" 3<&- 4<&- 5<&- 6>&- 7<&- 8<&- 9>&-) >&6 2>&9 &
	else
		(export_environment && leader "$@" 3<&- 4<&- 5<&- 6>&- 7<&- 8<&- 9>&-) </dev/null >&6 2>&9 &
	fi
	working=$!
	born "$working"
	working_born=$born
	name_work "$working" "$working_born"
	find_own_process
	serving=$me serving_born=$born
	# Ends with the connection, too: no runner would read its answer.
	(
		while IFS= read -r _; do :; done
		end_group
		# The command may have stopped us, and no other process would continue us.
		tell_us CONT
		outlives "$serving" "$serving_born" || exit 0
		tell_us KILL
	) <&5 >/dev/null 2>&1 &
	listening=$!
	(
		looping
		nap_unless_discarded "$timeout"
		trap '' "$TELL"
		end_group
		tell_us CONT
		exit 9
	) >/dev/null 2>&1 3<&- 4<&- 5<&- 6>&- 7<&- 8<&- 9>&- &
	timing=$!
	born "$timing"
	timing_born=$born
	wait "$working"
	ended=$?
	status=$ended
	end_loop "$timing" "$timing_born"
	[ $? != 9 ] || status=late
	finish "$listening" # before the answer: what comes behind that is the next request
	if [ "$verb" != execute ]; then
		# Until the whole group has gone: KILL takes effect later.
		tries=0
		while kill -KILL "-$working" 2>/dev/null && [ "$tries" -lt 20 ]; do
			tries=$((tries + 1))
			pause
		done
	elif [ "$ended" -gt 128 ]; then
		(end_orphans "$nonce")
	fi
	end_work
	# If another runner has taken the run over, it has ended the command: there is no result.
	[ -z "$claim" ] || keep_claim || refuse taken "$taken"
	withdraw_if_discarded
	# Their sizes now: a process that escaped may go on writing.
	size=$(wc -c <&7) complaint=$(wc -c <&3)
	size=$((size)) complaint=$((complaint)) # some versions of wc print blanks before it
	set -- "$((size > KEPT ? KEPT : size))"
	[ "$verb" != ask ] || set -- "$1" "$((complaint > KEPT ? KEPT : complaint))"
	say "done $status $*"
	print_end "$size" <&8
	print_end "$complaint" <&4
}

make_temporary_file() { # its name into $output. Refuses if the disk is full: output would be lost silently
	{ find_scratch "$runs" && output=$(mktemp "$scratch/output.XXXXXX"); } ||
		refuse disk "no temporary file can be made in $scratch"
	{ printf '%4096s' '' >"$output"; } 2>/dev/null && return
	rm -f "$output"
	refuse disk "no room for temporary files in $scratch"
}

print_end() { # SIZE: prints the last KEPT of the SIZE bytes on stdin
	tail -c "+$(($1 > KEPT ? $1 - KEPT + 1 : 1))" | head -c "$(($1 > KEPT ? KEPT : $1))"
}

outlives() { # PID BIRTH: true if it is still alive after about 30 s, longer than a sweep takes
	looks=0
	while alive "$1" "$2"; do
		looks=$((looks + 1))
		[ "$looks" -le 600 ] || return 0
		pause
	done
	return 1
}

tell_us() { # SIGNAL: to the shell that serves this request, and to its front
	! alive "$serving" "$serving_born" || kill -s "$1" "$serving"
	! alive $$ "$front_born" || kill -s "$1" $$
}

end_group() { # ends the command and its process group, whose leader it may not be yet. A keeper, if there is one, does that
	if [ "$verb" = execute ]; then
		alive "$working" "$working_born" || return 0
		# If the command has stopped its keeper, the keeper handles them after CONT. The command may stop it again and again.
		for one in TERM USR2 ALRM HUP CONT; do kill -s "$one" "$working"; done
		! outlives "$working" "$working_born" || kill -KILL "$working"
	else
		kill -KILL "-$working" || kill -KILL "$working"
	fi
}
