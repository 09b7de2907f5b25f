# shellcheck shell=sh
# The front: a request, its answer, and the next one.

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

discard() { # the run's directory goes, and its workspace or not, unless something in it is alive
	IFS= read -r what
	case $what in all | but-workspace) ;; *) refuse torn "the request ended early" ;; esac
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ -e "$dir/exit" ]; then continue; fi
		if held "$dir"; then refuse busy "$run is still going"; fi
		if elsewhere "$dir"; then
			refuse foreign "$run may still be going on another host, $at_node, which shares this home directory"
		fi
	done
	# No runner finds anything to go on with from here on, however long the rest takes.
	[ -z "$claim" ] || mv "$runs/$run/attempts" "$runs/$run/.judged" 2>/dev/null
	if [ "$what" = all ]; then
		remove "$workspaces/$run" "$workspaces/.$run."*
	elif [ -e "$workspaces/$run" ]; then
		touch "$workspaces/$run" # from now on its time counts
	fi
	remove "${runs%/*}/skills/$run"
	remove "$runs/$run"
	say gone
}

remove() { # PATH...: or say why not
	rm -rf "$@" 2>/dev/null && return
	# A follower that nobody listens to any more may be counting the lease up; and some tools leave folders read-only.
	chmod -R u+rwx "$@" 2>/dev/null
	{ pause && rm -rf "$@" 2>/dev/null; } || { pause && rm -rf "$@"; } || refuse disk "$1 cannot be removed"
}

front() {
	umask 077
	# Before anything has a value: what is exported already would hand ours on, the lines with the secrets too.
	set -- "$script"
	scrub
	script=$1
	# The host's own may have had these names.
	constants
	workspaces=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/workspaces
	runs=${workspaces%/*}/runs
	here
	waiting=
	while IFS=' ' read -r magic nonce verb run attempt _ claim held; do
		end_loop "$waiting"
		# A subshell: the next one must not find what this one has set, nor its secrets. Behind one that went wrong, who
		# knows where a request begins?
		(serve) || exit
		await_request &
		waiting=$!
	done
	end_loop "$waiting"
	return 0 # not what that one ended with
}

await_request() { # for so long; behind a black hole there would be no end of it
	exec </dev/null >/dev/null 2>&1
	looping
	born $$
	front_born=$born
	nap "$QUIET"
	! alive $$ "$front_born" || kill -TERM $$
}

serve() {
	[ "$magic" = codex-runner/1 ] || exit 64
	case $nonce in '' | *[!0-9a-f]*) exit 64 ;; esac
	case $run in '' | .* | *[!A-Za-z0-9._-]*) refuse protocol "bad run id" ;; esac
	case $attempt in '' | 0* | *[!0-9]*) refuse protocol "bad attempt" ;; esac
	[ -z "$claim" ] || under_claim
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
	execute | ask) execute ;;
	list) list ;;
	fetch) fetch ;;
	upload) upload ;;
	stop) stop ;;
	claim) claim ;;
	renew) say renewed ;;
	discard) discard ;;
	*) refuse protocol "unknown verb" ;;
	esac
}

case ${1-} in reaper | plain) umask 077 && supervise "$1" ;; *) front ;; esac
