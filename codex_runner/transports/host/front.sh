# shellcheck shell=sh
# The front: one request, one answer.

stop() { # ends codex through its supervisor; where that is dead, with our own hands
	IFS= read -r reason || reason=cancelled
	cd "$runs/$run/attempts/$attempt" 2>/dev/null || refuse gone "no attempt $attempt of $run here"
	if [ -e exit ]; then
		say ended
		return
	fi
	if held .; then
		note_stop "$reason"
		kill -TERM "$sup" 2>/dev/null
		say stopping
		return
	fi
	if elsewhere .; then refuse foreign "$run runs on another host, $at_node, which shares this home directory"; fi
	[ "$at_boot" = "$boot_id" ] || refuse foreign "$run ran before this host was rebooted"
	reaper=plain
	end_alone "$reason"
	say stopped
}

discard() { # the run's directory goes, unless something in it is alive
	cd "$runs/$run" 2>/dev/null || {
		say gone
		return
	}
	for dir in attempts/[0-9]*; do
		if [ -e "$dir/exit" ]; then continue; fi
		if held "$dir"; then refuse busy "$run is still going"; fi
		if elsewhere "$dir"; then
			refuse foreign "$run may still be going on another host, $at_node, which shares this home directory"
		fi
	done
	cd "$runs" || return
	# A follower that nobody listens to any more may be counting the lease up meanwhile: hence again.
	rm -rf "./$run" 2>/dev/null || { pause && rm -rf "./$run" 2>/dev/null; } || { pause && rm -rf "./$run"; } ||
		refuse disk "$runs/$run cannot be removed"
	say gone
}

front() {
	umask 077
	IFS=' ' read -r magic nonce verb run attempt || exit 64
	[ "$magic" = codex-runner/1 ] || exit 64
	case $nonce in '' | *[!0-9a-f]*) exit 64 ;; esac
	case $run in '' | .* | *[!A-Za-z0-9._-]*) refuse protocol "bad run id" ;; esac
	case $attempt in '' | 0* | *[!0-9]*) refuse protocol "bad attempt" ;; esac
	runs=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs
	here
	case $verb in
	start)
		start
		follow 0 0
		;;
	launch) start ;;
	follow)
		IFS=' ' read -r out err
		follow "$out" "$err"
		;;
	execute) execute ;;
	list) list ;;
	fetch) fetch ;;
	stop) stop ;;
	discard) discard ;;
	*) refuse protocol "unknown verb" ;;
	esac
}

case ${1-} in reaper | plain) umask 077 && supervise "$1" ;; *) front ;; esac
