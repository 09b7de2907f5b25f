# shellcheck shell=sh
# stdout: our mark, then codex's bytes from the offset on and nothing else. stderr: frames, each a line that begins with
# the nonce; raw bytes follow an `err` line, as many as it says. stdin: pings, a stop, a goodbye, and then perhaps another
# request. A runner that sends nothing for QUIET seconds counts as gone: a dead connection shows no other sign.

# stderr of the host's programs goes to /dev/null: otherwise it would be in the middle of a frame's bytes.

frame() { printf '%s %s\n' "$nonce" "$*" >&6; }

follow() { # OUT ERR: offsets to begin at. False if it ended without a goodbye
	out=$1 err=$2
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	[ -e stdout ] || refuse gone "attempt $attempt of $run was never started here"
	read_holder .
	exec 6>&2 2>/dev/null
	news='' timer='' deaf=''
	trap note_news USR1
	find_own_process
	# A start-up file of the account may have set it to be ignored, and no shell can undo that.
	kill -s USR1 "$me"
	: # shells handle pending signals between two commands
	[ -n "$news" ] || deaf=1
	echo "$me $born" >"follower.$nonce"
	say begin
	frame ready
	# Some shells give a background command /dev/null for stdin before they look at its redirections.
	exec 5<&0
	listen_to_runner <&5 &
	listening=$!
	if [ -e exit ]; then
		tail -c "+$((out + 1))" stdout &
		tailing=$!
	elif gnu_tail; then
		# tail is woken by the kernel (inotify), otherwise it polls each 0.1 s. It ends, after one more read, when the
		# listener does. (Not when the supervisor does: that is not our child. If no parent reaps it, its zombie would
		# keep tail for ever.)
		tail -c "+$((out + 1))" -f --pid="$listening" -s 0.1 stdout &
		tailing=$!
	else
		copy_stdout &
		tailing=$!
	fi
	born "$tailing"
	tailing_born=$born
	report_until_goodbye
	result=$?
	finish "$listening" # nothing needs its input any more
	[ -z "$timer" ] || finish "$timer"
	kids=
	if alive "$tailing" "$tailing_born"; then
		# End its child, too, a cat or a sleep: a request that removes the run next must find none of its processes.
		find_children "$tailing"
		# shellcheck disable=SC2086 # pids
		kill -KILL "$tailing" $kids 2>/dev/null
	fi
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

copy_stdout() { # for hosts whose tail polls by the second, if at all: our own poll, with backoff while nothing comes
	exec 4<stdout
	skip "$out" || return
	known='' lull=0
	while :; do
		done=
		[ ! -e exit ] || done=1
		size=$(wc -c <stdout)
		if [ -n "$done" ] || [ "$size" != "$known" ]; then
			cat <&4 || return # killed with bytes that it had read
			# Bytes that came since it was measured change the size, and the next round finds them.
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

skip() { # BYTES: reads so many from descriptor 4, and drops them. False if that fails
	[ "$1" -lt 65536 ] || dd bs=65536 count=$(($1 / 65536)) <&4 >/dev/null 2>&1 || return
	[ $(($1 % 65536)) = 0 ] || dd bs=$(($1 % 65536)) count=1 <&4 >/dev/null 2>&1
}

listen_to_runner() { # reads the runner's words: each ping renews the lease, and wakes report_until_goodbye
	pings=0
	while IFS= read -r line; do
		case $line in
		ping)
			advance_lease
			[ -z "$claim" ] || keep_claim || { printf '%s\n' "$taken" >"taken.$nonce"; } 2>/dev/null
			# Not `:`: a shell would exit on it if the folder was removed (a special built-in).
			if [ -n "$deaf" ]; then true >"heard.$nonce"; else kill -s USR1 "$me"; fi
			;;
		"stop "*)
			note_stop "${line#stop }"
			if held .; then tell "$sup" "$sup_born" TERM; fi
			;;
		bye) break ;;
		esac
	done
	true >"bye.$nonce"
	kill -USR1 "$me" 2>/dev/null
}

advance_lease() { # in place, since a rename costs a process. Each tenth time by a rename, which touches the run's folder:
	# its age shows when a runner was here last
	count=0
	{ read -r count <../../lease; } 2>/dev/null
	case $count in '' | *[!0-9]*) count=0 ;; esac
	count=$((count + 1)) pings=$((pings + 1))
	case $pings in *0 | 1) echo "$count" >"../../lease.$$" && mv "../../lease.$$" ../../lease && return ;; esac
	{ printf '%-20s\n' "$count" 1<>../../lease; } 2>/dev/null
}

report_until_goodbye() { # sends codex's stderr, heartbeats and the end. False if the runner goes without a goodbye, or if
	# a program that sends bytes was killed: the runner then connects again, and goes on at the byte that it has
	over='' sent='' quiet=0 polls=0 news='' grown='' moment=0.2 period=$(((QUIET + 3) / 4))
	reopen_stderr || return
	while [ ! -e "bye.$nonce" ]; do
		heard=$news news=
		if [ -e "taken.$nonce" ]; then
			{ read -r taken <"taken.$nonce"; } 2>/dev/null
			frame "taken $taken"
			return 1
		fi
		# It may have been stopped, too: heartbeats alone would let the runner wait for ever for the bytes.
		if [ -z "$sent" ]; then
			if alive "$tailing" "$tailing_born"; then
				kill -s CONT "$tailing" 2>/dev/null
			else
				wait "$tailing" || return
				sent=1
			fi
		fi
		if [ -z "$over" ]; then report || return; elif [ ! -e request ]; then return 1; fi
		if [ -n "$heard" ]; then
			quiet=0
			frame heartbeat || return
		fi
		await_news
		[ "$quiet" -le 4 ] || return
	done
}

note_news() { # a ping, a goodbye or the end has come. The last two end the sleep: they must not wait for the next ping
	news=1
	[ -n "$timer" ] || return 0
	if [ -e exit ] || [ -e "bye.$nonce" ]; then
		kill -KILL "$timer" 2>/dev/null
		timer=
	fi
}

reopen_stderr() { # opens codex's stderr as 4, at the first byte that was not sent
	if [ -f stderr ]; then exec 4<stderr; else exec 4</dev/null; fi
	skip "$err"
}

has_new_stderr() { # needs no process if there is none
	line=
	IFS= read -r line <&4 || [ -n "$line" ]
}

report() { # sends the news; sets $over once everything was sent. False if the attempt is lost
	ended='' grown=
	no_pipes
	[ ! -e exit ] || ended=1
	if [ ! -e request ]; then
		frame "lost the run directory was removed, and the supervisor ends the agent"
		return 1
	fi
	if [ -n "$ended" ] || has_new_stderr; then
		send_errors || return
	fi
	if [ -n "$ended" ]; then
		# It says how many bytes stdout has: the runner says goodbye once it has all of them.
		line=$(tr '\n' ',' <./exit) || return
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

send_errors() { # the new bytes of stderr
	size=
	[ ! -f stderr ] || size=$(wc -c 2>/dev/null <stderr) || return
	size=$((${size:-0}))
	[ "$size" -gt "$err" ] || return 0
	while [ "$size" -gt "$err" ]; do
		# An offset and a size: bytes that come later are for the next frame. The runner keeps a whole frame in memory.
		part=$((size - err))
		[ "$part" -le 1048576 ] || part=1048576
		frame "err $err $part" || return
		# Without all of its bytes, the runner would take the next frames for them.
		dd if=stderr ibs=1 obs=65536 skip="$err" count="$part" >&6 || return
		err=$((err + part))
	done
	grown=1
	reopen_stderr
}

await_news() { # sleeps until there is news; briefly if stderr grows, or if no signal wakes us. $quiet counts sleeps without news
	if [ -n "$deaf$grown" ]; then
		sleep "$moment" >/dev/null 2>&1 4<&- 5<&- 6>&- &
		wait $!
		case $? in
		0) ;;
		[1-9] | [1-9]? | 1[01]? | 12[0-8]) moment=1 ;; # this sleep knows no fractions
		*) finish $! ;;
		esac
		[ -n "$deaf" ] || return 0
		polls=$((polls + 1))
		if [ -e "heard.$nonce" ]; then
			rm -f "heard.$nonce"
			news=1 polls=0
		elif [ "$polls" -gt $((period * 5)) ]; then
			quiet=$((quiet + 1)) polls=0
		fi
		return 0
	fi
	if [ -z "$timer" ]; then
		sleep "$period" >/dev/null 2>&1 4<&- 5<&- 6>&- &
		timer=$!
	fi
	sleeping=$timer
	# If `exit` or the goodbye has come in between, note_news ends the sleep.
	[ -z "$news" ] || return 0
	wait "$sleeping"
	case $? in
	0) timer='' quiet=$((quiet + 1)) ;;
	*) kill -0 "$sleeping" 2>/dev/null || timer= ;;
	esac
}
