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
	news='' timer='' deaf=''
	trap hear USR1
	myself
	# A start-up file of the account may have had it ignored, which no shell can undo.
	kill -s USR1 "$me"
	: # between two commands a shell looks for what it has heard
	[ -n "$news" ] || deaf=1
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
		# If the kernel cannot tell, it looks each 0.1 s.
		tail -c "+$((out + 1))" -f --pid="$listening" -s 0.1 stdout &
		tailing=$!
	else
		copier &
		tailing=$!
	fi
	reporter
	result=$?
	finish "$listening" # whatever it may still hear is for nobody
	[ -z "$timer" ] || finish "$timer"
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

copier() { # for hosts whose tail polls by the second, if at all: a poll of our own, which slows down while nothing comes
	exec 4<stdout
	skip "$out"
	known='' lull=0
	while :; do
		done=
		[ ! -e exit ] || done=1
		size=$(wc -c <stdout)
		if [ -n "$done" ] || [ "$size" != "$known" ]; then
			cat <&4
			# What came since it was measured makes the next look find another size.
			known=$size lull=0
		fi
		[ -z "$done" ] && kill -0 "$listening" 2>/dev/null || return
		lull=$((lull + 1))
		case $lull in
		[1-4]) pause ;;
		[5-9]) sleep 0.1 2>/dev/null || sleep 1 ;;
		*) sleep 0.5 2>/dev/null || sleep 1 ;;
		esac
	done
}

skip() { # OFFSET: so many bytes of what is open as 4
	[ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) <&4 >/dev/null 2>&1
	[ $(($1 % 65536)) = 0 ] || dd bs=$(($1 % 65536)) count=1 <&4 >/dev/null 2>&1
}

listener() { # what the runner says: each ping counts the lease up, and wakes the reporter
	pings=0
	while IFS= read -r line; do
		case $line in
		ping)
			count_up
			[ -z "$claim" ] || keep_claim || { printf '%s\n' "$taken" >"taken.$nonce"; } 2>/dev/null
			# Not `:`, with which a shell would end if the folder has been removed.
			if [ -n "$deaf" ]; then true >"heard.$nonce"; else kill -s USR1 "$me"; fi
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

count_up() { # the lease: in place, since a rename is a process. Now and then by one all the same, which touches the run's
	# folder: its age tells when somebody was here last
	count=0
	{ read -r count <../../lease; } 2>/dev/null
	case $count in '' | *[!0-9]*) count=0 ;; esac
	count=$((count + 1)) pings=$((pings + 1))
	case $pings in *0 | 1) echo "$count" >"../../lease.$$" && mv "../../lease.$$" ../../lease && return ;; esac
	{ printf '%-20s\n' "$count" 1<>../../lease; } 2>/dev/null
}

reporter() { # codex's stderr, heartbeats, the end; until the goodbye. False if there is none
	over='' quiet=0 dozes=0 news='' grown='' moment=0.2 period=$(((QUIET + 3) / 4))
	stand
	while [ ! -e "bye.$nonce" ]; do
		heard=$news news=
		if [ -e "taken.$nonce" ]; then
			{ read -r taken <"taken.$nonce"; } 2>/dev/null
			frame "taken $taken"
			return 1
		fi
		if [ -z "$over" ]; then report || return; elif [ ! -e request ]; then return 1; fi
		if [ -n "$heard" ]; then
			quiet=0
			frame heartbeat || return
		fi
		doze
		[ "$quiet" -le 4 ] || return
	done
}

hear() { # news: a ping, a goodbye, the end. The latter two must not wait for a ping if they come just before a wait
	news=1
	[ -n "$timer" ] || return 0
	if [ -e exit ] || [ -e "bye.$nonce" ]; then
		kill -KILL "$timer" 2>/dev/null
		timer=
	fi
}

stand() { # opens codex's stderr as 4, at what has not been sent
	if [ -f stderr ]; then exec 4<stderr; else exec 4</dev/null; fi
	skip "$err"
}

grows() { # is there more on stderr? It costs no process to see that there is not
	line=
	IFS= read -r line <&4 || [ -n "$line" ]
}

report() { # what is new; $over, once all has been said. False if there will be no end
	ended='' grown=
	no_pipes
	[ ! -e exit ] || ended=1
	if [ ! -e request ]; then
		frame "lost the run directory was removed, and the supervisor ends the agent"
		return 1
	fi
	if [ -n "$ended" ] || grows; then
		send_errors || return
	fi
	if [ -n "$ended" ]; then
		# It says how many bytes stdout has: whoever follows takes leave once all of them have come.
		line=$(tr '\n' ',' <./exit)
		frame "exit $line" || return
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

send_errors() { # what is on stderr
	size=
	[ ! -f stderr ] || size=$(wc -c 2>/dev/null <stderr)
	size=$((${size:-0}))
	[ "$size" -gt "$err" ] || return 0
	while [ "$size" -gt "$err" ]; do
		# An offset and a size: bytes that came since are for the next time. The runner holds a frame whole.
		part=$((size - err))
		[ "$part" -le 1048576 ] || part=1048576
		frame "err $err $part" || return
		tail -c "+$((err + 1))" stderr | dd ibs=1 obs=65536 count="$part" >&6
		err=$((err + part))
	done
	grown=1
	stand
}

doze() { # until there is news. While stderr grows, or if no signal wakes us, for a moment; $quiet counts what is without any
	if [ -n "$deaf$grown" ]; then
		sleep "$moment" >/dev/null 2>&1 4<&- 5<&- 6>&- &
		wait $!
		case $? in
		0) ;;
		[1-9] | [1-9]? | 1[01]? | 12[0-8]) moment=1 ;; # a sleep that knows no fractions
		*) finish $! ;;
		esac
		[ -n "$deaf" ] || return 0
		dozes=$((dozes + 1))
		if [ -e "heard.$nonce" ]; then
			rm -f "heard.$nonce"
			news=1 dozes=0
		elif [ "$dozes" -gt $((period * 5)) ]; then
			quiet=$((quiet + 1)) dozes=0
		fi
		return 0
	fi
	if [ -z "$timer" ]; then
		sleep "$period" >/dev/null 2>&1 4<&- 5<&- 6>&- &
		timer=$!
	fi
	dozing=$timer
	# If `exit` or the goodbye has come in between, `hear` ends the sleep.
	[ -z "$news" ] || return 0
	wait "$dozing"
	case $? in
	0) timer='' quiet=$((quiet + 1)) ;;
	*) kill -0 "$dozing" 2>/dev/null || timer= ;;
	esac
}
