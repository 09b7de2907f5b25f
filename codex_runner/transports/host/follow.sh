# shellcheck shell=sh
# stdout: our mark, then codex's bytes from the offset on and nothing else. stderr: frames, each a line that begins with
# the nonce, `err` with so many raw bytes behind it. stdin: pings, a stop, a goodbye, behind which there may be another
# request. Whoever says nothing for QUIET seconds is taken for gone: behind a black hole nothing else would tell.

# What a program of the host complains of goes to /dev/null: it would stand in the middle of a frame's bytes.

frame() { printf '%s %s\n' "$nonce" "$*" >&6; }

follow() { # OUT ERR: offsets to begin at. False where it ended without a goodbye
	out=$1 err=$2
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	[ -e stdout ] || refuse gone "attempt $attempt of $run was never started here"
	holder .
	exec 6>&2 2>/dev/null
	trap : USR1
	myself
	echo "$me $born" >"follower.$nonce"
	say begin
	frame ready
	# Some shells give a background command /dev/null for stdin before they look at its redirections.
	exec 5<&0
	listener <&5 &
	listening=$!
	if [ -e exit ]; then
		tail -c "+$((out + 1))" stdout &
		tailing=$!
	elif gnu_tail; then
		# Woken by the kernel; ends, after one more look, when the listener does. (Not when the supervisor does: that
		# is not our child, and where nobody reaps it, its zombie would keep tail for ever.)
		tail -c "+$((out + 1))" -f --pid="$listening" -s 0.02 stdout &
		tailing=$!
	else
		copier &
		tailing=$!
	fi
	reporter
	result=$?
	finish "$listening" # whatever it may still hear is for nobody
	# With what it runs at the moment, a cat or a sleep: whoever removes the run next must find nothing of it alive.
	children "$tailing"
	# shellcheck disable=SC2086 # pids
	kill -KILL "$tailing" $kids 2>/dev/null
	wait "$tailing" 2>/dev/null
	for one in $kids; do
		while born "$one" && [ -n "$born" ]; do pause; done
	done
	rm -f "bye.$nonce" "heard.$nonce" "taken.$nonce" "follower.$nonce"
	return "$result"
}

gnu_tail() {
	case $(tail --version 2>/dev/null) in *GNU*) ;; *) return 1 ;; esac
}

copier() { # for hosts whose tail polls by the second, if at all
	exec 4<stdout
	[ "$out" -lt 65536 ] || dd bs=65536 count=$((out / 65536)) <&4 >/dev/null 2>&1
	[ $((out % 65536)) = 0 ] || dd bs=$((out % 65536)) count=1 <&4 >/dev/null 2>&1
	while :; do
		done=
		[ ! -e exit ] || done=1
		cat <&4
		[ -z "$done" ] && kill -0 "$listening" 2>/dev/null || return
		pause
	done
}

listener() { # what the runner says: each ping counts the lease up
	while IFS= read -r line; do
		case $line in
		ping)
			count=0
			{ read -r count <../../lease; } 2>/dev/null
			echo $((count + 1)) >"../../lease.$$" && mv "../../lease.$$" ../../lease
			[ -z "$claim" ] || keep_claim || { printf '%s\n' "$taken" >"taken.$nonce"; } 2>/dev/null
			true >"heard.$nonce" # not `:`, with which a shell would end where the folder has been removed
			;;
		"stop "*)
			note_stop "${line#stop }"
			if held .; then tell "$sup" TERM; fi
			;;
		bye) break ;;
		esac
	done
	true >"bye.$nonce"
	kill -USR1 "$me" 2>/dev/null
}

reporter() { # codex's stderr, heartbeats, the end; until the goodbye. False where there is none
	ticks=0 quiet=0 over='' moment=0.2
	while [ ! -e "bye.$nonce" ]; do
		if [ -e "taken.$nonce" ]; then
			{ read -r taken <"taken.$nonce"; } 2>/dev/null
			frame "taken $taken"
			return 1
		fi
		if [ -z "$over" ]; then report || return; elif [ ! -e request ]; then return 1; fi
		doze
		ticks=$((ticks + 1))
		if [ $((ticks % 5)) = 0 ]; then
			frame heartbeat || return
			quiet=$((quiet + 1))
			if [ -e "heard.$nonce" ]; then
				rm -f "heard.$nonce"
				quiet=0
			fi
			[ "$quiet" -lt "$QUIET" ] || return
		fi
	done
}

report() { # what is new; $over, once all has been said. False where there will be no end
	ended=
	no_pipes
	[ ! -e exit ] || ended=1
	if [ ! -e request ]; then
		frame "lost the run directory was removed, and the supervisor ends the agent"
		return 1
	fi
	size=
	[ ! -f stderr ] || size=$(wc -c 2>/dev/null <stderr)
	size=$((${size:-0}))
	while [ "$size" -gt "$err" ]; do
		# An offset and a size: bytes that came since are for the next time. The runner holds a frame whole.
		part=$((size - err))
		[ "$part" -le 1048576 ] || part=1048576
		frame "err $err $part" || return
		tail -c "+$((err + 1))" stderr | dd ibs=1 obs=65536 count="$part" >&6
		err=$((err + part))
	done
	if [ -n "$ended" ]; then
		# It says how many bytes stdout has: whoever follows takes leave once all of them have come.
		frame "exit $(tr '\n' ',' <./exit)" || return
		over=1
	elif ! held . && [ ! -e exit ]; then
		if elsewhere .; then
			frame "lost the run is on another host, ${at_node:-$at_host}, which shares this home directory"
		elif [ "$at_boot" != "$boot_id" ]; then
			frame "lost the host was rebooted"
		else
			frame "lost the supervisor was killed"
		fi
		return 1
	fi
}

doze() { # for a moment, which news cut short: the end, or a goodbye. What is on stderr can wait for so long
	sleep "$moment" >/dev/null 2>&1 5<&- &
	wait $!
	case $? in
	0) ;;
	[1-9] | [1-9]? | 1[01]? | 12[0-8]) moment=1 ;; # a sleep that knows no fractions
	*) finish $! ;;
	esac
}
