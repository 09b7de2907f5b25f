# shellcheck shell=sh
# The front: reads requests from stdin, and answers them one after the other.

stop() { # ends codex through its supervisor, or directly if the supervisor is dead
	IFS= read -r reason || reason=cancelled
	received
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	end_attempt "$reason"
	say "$ending"
}

end_attempt() { # REASON: ends the attempt in this folder; $ending says how far that has got
	ending=ended
	[ ! -e exit ] || return 0
	if held .; then
		note_stop "$1"
		tell "$sup" "$sup_born" TERM
		ending=stopping
		return
	fi
	if elsewhere .; then refuse foreign "$run runs on another host, $at_node, which shares this home directory"; fi
	[ "$at_boot" = "$boot_id" ] || refuse foreign "$run ran before this host was rebooted"
	reaper=plain
	end_alone "$1"
	ending=stopped
}

front() {
	umask 077
	# Before any variable has a value: an exported name would pass our value on, even lines with secrets.
	set -- "$script"
	scrub
	script=$1
	# A relative path would be another folder for each command; the XDG specification says to ignore it.
	case ${XDG_STATE_HOME-} in '' | /*) ;; *) unset XDG_STATE_HOME ;; esac
	# The host's environment may have had variables of these names.
	constants
	choose_signal
	workspaces=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/workspaces
	runs=${workspaces%/*}/runs
	identify_host
	born $$
	front_born=$born asked=0 claims=
	# A signal that comes before its trap must not end this shell. The code that serves a request resets it.
	trap '' USR1
	# A runner may disconnect right after its request, which still counts. Trapped and not ignored: codex would inherit that.
	trap : PIPE
	challenge
	begin_waiting
	while IFS=' ' read -r magic nonce verb run attempt answered sender claim; do
		moved
		expected=$challenge
		challenge
		# A subshell: the next request must not see this one's variables and secrets. After a failed request the stream is
		# out of step, so the session ends.
		(serve)
		served=$?
		end_waiting
		[ "$served" = 0 ] || exit "$served"
		begin_waiting
	done
	end_waiting
	return 0 # not the status of end_waiting
}

challenge() { # prints the word that the next request must repeat, so that none is older than the answer before it
	asked=$((asked + 1))
	challenge=$$.$front_born.$asked
	printf '%s next %s\n' "$MAGIC" "$challenge" 2>/dev/null
}

await_request() { # ends the session if no byte of a request comes for QUIET seconds: a dead connection never ends itself
	exec 9>&1 </dev/null >/dev/null 2>&1
	looping
	moved='' begun='' quiet=0
	trap 'moved=1 begun=1' USR1
	trap '' PIPE
	while [ "$quiet" -lt "$QUIET" ]; do
		nap 1 9>&-
		alive $$ "$front_born" || exit 0
		quiet=$((quiet + 1))
		[ -z "$moved" ] || quiet=0 moved=
		# Heartbeat: otherwise ssh takes a slow connection for dead while it sends a large request.
		[ -z "$begun" ] || printf '%s more\n' "$MAGIC" >&9
	done
	find_own_process
	find_descendants $$
	kill -TERM $$
	for one in $below; do [ "$one" = "$me" ] || kill -KILL "$one"; done
	pause # some shells keep reading after a TERM
	! alive $$ "$front_born" || kill -KILL $$
}

begin_waiting() {
	await_request &
	waiting=$!
	born "$waiting"
	waiting_born=$born
}

moved() { # notes that bytes of the request have come
	kill -USR1 "$waiting" 2>/dev/null
}

received() { # the whole request has come: ends await_request, before that can print into an answer
	tell "$waiting" "$waiting_born" "$TELL"
	waits=0
	while alive "$waiting" "$waiting_born"; do
		waits=$((waits + 1))
		[ "$teller" = printf ] || kill -s "$TELL" "$waiting" 2>/dev/null # see remind
		[ "$waits" -le 500 ] || kill -KILL "$waiting" 2>/dev/null # some shells handle no signal while they wait
	done
}

await_again() { # within a request, after a long operation
	trap '' USR1
	begin_waiting
	trap - USR1
	moved
}

end_waiting() { # ends await_request, with or without a request
	received
	wait "$waiting" 2>/dev/null
}

read_line() { # the request's next line into $line; joins the parts of a long one
	whole=
	while IFS= read -r line; do
		moved
		case $line in
		"~"*) whole=$whole${line#"~"} ;;
		*)
			line=$whole$line
			return
			;;
		esac
	done
	return 1
}

take() { # FILE SIZE: appends so many bytes of the request to the file; fewer at its end. False on a full disk
	left=$2
	while [ "$left" -gt 0 ]; do
		before=$left
		# dd takes the bytes that have come, up to a given size: a shell's read or head may take more.
		part=$(dd bs="$((left < 65536 ? left : 65536))" count=1 2>&1 >>"$1") || return 1
		moved
		case $part in
		"1+0 "*) left=$((left < 65536 ? 0 : left - 65536)) ;;
		*)
			size=$(wc -c <"$1")
			left=$(($2 - size))
			;;
		esac
		[ "$left" -lt "$before" ] || return 0
	done
}

serve() {
	trap - USR1
	[ "$magic" = "$MAGIC" ] || exit 64
	case $nonce in '' | *[!0-9a-f]*) exit 64 ;; esac
	case $run in '' | .* | *[!A-Za-z0-9._-]*) refuse protocol "bad run id" ;; esac
	case $attempt in '' | 0* | *[!0-9]*) refuse protocol "bad attempt" ;; esac
	[ -z "$claim" ] || check_claim
	case $verb in start | launch | execute | ask | upload) unless_discarded && unless_sent_again ;; esac
	case $verb in start | launch | execute) unless_cancelled ;; esac
	# A launch needs no challenge: it comes from this machine, through a pipe that delays nothing.
	case $verb in
	start | execute | upload) [ "$answered" = "$expected" ] || refuse stale "the request is older than its session" ;;
	esac
	case $verb in
	start)
		start
		follow 0 0
		;;
	launch) start ;;
	follow)
		IFS=' ' read -r out err
		received
		follow "$out" "$err"
		;;
	execute | ask) execute ;;
	list) list ;;
	fetch) fetch ;;
	upload) upload ;;
	stop) stop ;;
	cancel) cancel ;;
	claim) claim ;;
	renew)
		received
		if is_cancelled; then say cancelled; else say renewed; fi
		;;
	discard) discard ;;
	*) refuse protocol "unknown verb" ;;
	esac
}

case ${1-} in
reaper | plain)
	if [ "${2-}" = keep ]; then keep "$@"; else umask 077 && supervise "$1"; fi
	;;
orphans) end_orphans "$2" ;;
keep) reaping 5 sh -c -- "$script" sh "$@" ;;
*) front ;;
esac
