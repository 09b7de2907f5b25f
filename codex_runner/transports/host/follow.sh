# shellcheck shell=sh
# stdout: our mark, then codex's bytes from the offset on and nothing else. stderr: frames, each a line that begins with
# the nonce, `err` with so many raw bytes behind it. stdin: pings, a stop, a goodbye. Whoever says nothing for QUIET
# seconds is taken for gone: behind a black hole nothing else would tell.

QUIET=20

frame() { printf '%s %s\n' "$nonce" "$*" >&2; }

follow() { # OUT ERR: offsets to begin at
	out=$1 err=$2
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	[ -e stdout ] || refuse gone "attempt $attempt of $run was never started here"
	holder .
	say begin
	frame ready
	# Some shells give a background command /dev/null for stdin before they look at its redirections.
	exec 5<&0
	listener <&5 &
	listening=$!
	if [ -e exit ]; then
		tail -c "+$((out + 1))" stdout &
		tailing=$!
	elif tail --version 2>/dev/null | grep -q GNU; then
		# Woken by the kernel; ends, after one more look, when the listener does. (Not when the supervisor does: that
		# is not our child, and where nobody reaps it, its zombie would keep tail for ever.)
		tail -c "+$((out + 1))" -f --pid="$listening" -s 0.02 stdout &
		tailing=$!
	else
		copier &
		tailing=$!
	fi
	reporter
	end_listener
	kill "$tailing" 2>/dev/null
	wait
}

end_listener() {
	kill "$listening" 2>/dev/null
	wait "$listening" 2>/dev/null
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
			true >"heard.$nonce" # not `:`, with which a shell would end where the folder has been removed
			;;
		"stop "*)
			note_stop "${line#stop }"
			if held .; then kill -TERM "$sup" 2>/dev/null; fi
			;;
		bye) break ;;
		esac
	done
	: >"bye.$nonce"
}

reporter() { # codex's stderr, heartbeats, the end
	ticks=0 quiet=0
	while [ ! -e "bye.$nonce" ]; do
		ended=
		[ ! -e exit ] || ended=1
		if [ ! -e request ]; then
			frame "lost the run directory was removed, and the supervisor ends the agent"
			break
		fi
		size=$(wc -c 2>/dev/null <stderr)
		size=$((${size:-0}))
		if [ "$size" -gt "$err" ]; then
			# An offset and a size: bytes that came since are for the next time.
			frame "err $err $((size - err))"
			tail -c "+$((err + 1))" stderr | dd ibs=1 obs=65536 count=$((size - err)) >&2 2>/dev/null
			err=$size
		fi
		if [ -n "$ended" ]; then
			end_listener
			wait "$tailing"
			frame "exit $(tr '\n' ',' <./exit)"
			break
		fi
		if ! held .; then
			[ ! -e exit ] || continue
			if elsewhere .; then
				frame "lost the run is on another host, ${at_node:-$at_host}, which shares this home directory"
			elif [ "$at_boot" != "$boot_id" ]; then
				frame "lost the host was rebooted"
			else
				frame "lost the supervisor was killed"
			fi
			break
		fi
		pause
		ticks=$((ticks + 1))
		if [ $((ticks % 20)) = 0 ]; then
			frame heartbeat || break
			quiet=$((quiet + 1))
			if [ -e "heard.$nonce" ]; then
				rm -f "heard.$nonce"
				quiet=0
			fi
			[ "$quiet" -lt "$QUIET" ] || break
		fi
	done
	rm -f "bye.$nonce" "heard.$nonce"
}
