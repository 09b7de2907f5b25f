# shellcheck shell=sh
# The front: a request, its answer, and the next one.

stop() { # ends codex through its supervisor; where that is dead, with our own hands
	IFS= read -r reason || reason=cancelled
	received
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	end_attempt "$reason"
	say "$ending"
}

end_attempt() { # REASON: the one in this folder; $ending says how far that is
	ending=ended
	[ ! -e exit ] || return 0
	if held .; then
		note_stop "$1"
		tell "$sup" TERM
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
	# Before anything has a value: what is exported already would hand ours on, the lines with the secrets too.
	set -- "$script"
	scrub
	script=$1
	# Relative, it would be another folder for each command; the XDG specification has it ignored.
	case ${XDG_STATE_HOME-} in '' | /*) ;; *) unset XDG_STATE_HOME ;; esac
	# The host's own may have had these names.
	constants
	choose_signal
	workspaces=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/workspaces
	runs=${workspaces%/*}/runs
	here
	born $$
	front_born=$born asked=0 claims=
	# A signal that comes before its trap must not end what waits for requests. Whatever serves one sets it back.
	trap '' USR1
	# A runner may leave right behind its request, which counts all the same. Caught, not ignored, which codex would inherit.
	trap : PIPE
	challenge
	await_request &
	waiting=$!
	while IFS=' ' read -r magic nonce verb run attempt answered sender claim; do
		moved
		expected=$challenge
		challenge
		# A subshell: the next one must not find what this one has set, nor its secrets. Behind one that went wrong, who
		# knows where a request begins?
		(serve)
		served=$?
		end_waiting
		[ "$served" = 0 ] || exit "$served"
		await_request &
		waiting=$!
	done
	end_waiting
	return 0 # not what that one ended with
}

challenge() { # says what the next request is to answer, so that none is older than what was said to the one before it
	asked=$((asked + 1))
	challenge=$$.$front_born.$asked
	printf '%s next %s\n' "$MAGIC" "$challenge" 2>/dev/null
}

await_request() { # ends the session if no byte of a request comes for QUIET seconds: a black hole never ends by itself
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
		# Else ssh takes the line for dead while it sends a large request over a slow one.
		[ -z "$begun" ] || printf '%s more\n' "$MAGIC" >&9
	done
	myself
	descendants $$
	kill -TERM $$
	for one in $below; do [ "$one" = "$me" ] || kill -KILL "$one"; done
	pause # some shells read on after a TERM
	! alive $$ "$front_born" || kill -KILL $$
}

moved() { # something of the request has come
	kill -USR1 "$waiting" 2>/dev/null
}

received() { # the request has come whole: what waited for it ends, before it can print into an answer
	tell "$waiting" "$TELL"
	born "$waiting"
	waits=0
	while alive "$waiting" "$born"; do
		waits=$((waits + 1))
		[ "$teller" = printf ] || kill -s "$TELL" "$waiting" 2>/dev/null # see remind
		[ "$waits" -le 500 ] || kill -KILL "$waiting" 2>/dev/null # a shell that looks at no signal while it waits
	done
}

await_again() { # within a request, behind a work that took its time
	trap '' USR1
	await_request &
	waiting=$!
	trap - USR1
	moved
}

end_waiting() { # whether or not a request has come
	received
	wait "$waiting" 2>/dev/null
}

read_line() { # the request's next line into $line, put together from the parts of a long one
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

take() { # FILE SIZE: so many bytes of the request, behind what the file has; fewer at its end. False on a full disk
	left=$2
	while [ "$left" -gt 0 ]; do
		before=$left
		# What is there, and never more than it is told to: a shell's read or head may take more.
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
	[ -z "$claim" ] || under_claim
	case $verb in start | launch | execute | ask | upload) unless_entombed && unless_sent_again ;; esac
	case $verb in start | launch | execute) unless_cancelled ;; esac
	# Not a launch: it comes from this machine, through a pipe that holds nothing back.
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
		if wished; then say cancelled; else say renewed; fi
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
