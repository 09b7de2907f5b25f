# shellcheck shell=sh
# Tombstones: a run that was discarded stays discarded. A network may delay a request, and deliver it after the run's
# verdict.
#
# `discard` writes <state>/codex-runner/discarded/RUN before it removes anything of the run; it is kept for a day. A
# starter makes its folder first and then checks for the tombstone. `discard` writes first and then searches for live
# processes. So one of the two always sees the other.

is_discarded() { # RUN: true if it was discarded
	[ "$1" != none ] && [ -e "${runs%/*}/discarded/$1" ]
}

unless_discarded() { # ends the request if its run was discarded
	if is_discarded "$run"; then refuse discarded "$run has been discarded: a request for it comes too late"; fi
}

unless_sent_again() { # ends the request if its sender has lost that connection since, and sent it again on a new one
	case $run.$sender in none.* | *.-) return 0 ;; esac
	lost=${sender#*.} sender=${sender%%.*} known=0
	case $sender in '' | *[!0-9a-f]*) refuse protocol "bad sender" ;; esac
	case $lost in '' | *[!0-9]*) refuse protocol "bad sender" ;; esac
	sender=${runs%/*}/discarded/.sent.$run.$sender
	{ read -r known <"$sender"; } 2>/dev/null
	[ "$lost" -ge "${known:-0}" ] || refuse stale "its runner has repeated it over a newer connection"
	# A full disk removes this second protection, but not the first one.
	[ "$lost" -le "${known:-0}" ] ||
		{ mkdir -p "${sender%/*}" && echo "$lost" >"$sender.$nonce" && mv "$sender.$nonce" "$sender"; } 2>/dev/null
	return 0
}

discarded_by_another() { # true if another runner than the caller judged and discarded the claim's run
	judge=
	# The claim names the run: a command need not.
	{ read -r _ _ _ judge <"${runs%/*}/discarded/${claim%%/*}"; } 2>/dev/null
	case $judge in "$claim") return 1 ;; "${claim%%/*}/"*) return 0 ;; *) return 1 ;; esac
}

write_tombstone() { # RUN WHAT: writes the tombstone; WHAT is `all` or `but-workspace`. False if that is impossible
	tombstone=${runs%/*}/discarded/$1
	read_uptime
	# An empty file is enough: a full disk may have room for a name and none for a byte.
	{ mkdir -p "${tombstone%/*}" && printf '%s %s %s %s\n' "$2" "$boot_id" "${up:--}" "${claim:--}" >"$tombstone"; } 2>/dev/null
	[ -e "$tombstone" ] && return
	# No room for a name either: rename the run's own folder into the tombstone.
	mv "$runs/$1" "$tombstone" 2>/dev/null
}

remove_run() { # RUN WHAT: removes the files of a run that has a tombstone
	if [ -d "$runs/$1" ]; then
		# A proof of the sandbox may have been killed. It has no supervisor that cleans up after it.
		end_helpers "/runs/$1/home/"
		remove_points "$runs/$1"
	fi
	if [ "$2" = all ]; then remove "$workspaces/$1" "$workspaces/.$1."*; fi
	remove "${runs%/*}/skills/$1"
	remove "$runs/$1" "${runs%/*}/discarded/.sent.$1."*
	tombstone=${runs%/*}/discarded/$1
	if [ -d "$tombstone" ]; then remove "$tombstone"/* "$tombstone"/.[!.]*; fi
}

remove_run_again() { # RUN: removes what a request has made that came before the run was discarded, and ended after it
	what=
	# An empty tombstone (full disk) does not say whether to keep the workspace: keep it.
	{ read -r what _ <"${runs%/*}/discarded/$1"; } 2>/dev/null
	cd / && remove_run "$1" "$what"
}

remove() { # PATH...: refuses with the reason if it cannot
	rm -rf "$@" 2>/dev/null && return
	# A follower without a runner may still be renewing the lease; and some tools leave folders read-only.
	chmod -R u+rwx "$@" 2>/dev/null
	{ pause && rm -rf "$@" 2>/dev/null; } || { pause && rm -rf "$@"; } || refuse disk "$1 cannot be removed"
}

discard() { # removes the run's directory and, if asked, its workspace, unless a process of it is alive
	IFS= read -r what
	received
	case $what in all | but-workspace) ;; *) refuse torn "the request ended early" ;; esac
	unless_elsewhere
	if has_live_attempt; then refuse busy "$run is still going"; fi
	await_supervisors
	known='' late=
	if is_discarded "$run"; then
		known=1
		{ read -r _ && read -r late; } 2>/dev/null <"${runs%/*}/discarded/$run"
	fi
	write_tombstone "$run" "$what" || refuse disk "no room, or no right to write, in ${runs%/*}/discarded, so nothing of $run was removed"
	# A late start may have made an attempt in between. It sees the tombstone, and withdraws.
	looks=0
	while has_live_attempt; do
		looks=$((looks + 1))
		if [ "$looks" -gt 100 ]; then
			[ -n "$known" ] || rm -f "${runs%/*}/discarded/$run"
			refuse busy "$run is still going"
		fi
		pause
	done
	if is_cancelled; then late=cancelled; fi
	# In the tombstone, too: this answer may be lost, and the runner then repeats the request.
	[ -z "$late" ] || { echo "$late" >>"${runs%/*}/discarded/$run"; } 2>/dev/null
	if [ "$what" != all ] && [ -e "$workspaces/$run" ]; then
		touch "$workspaces/$run" # its retention begins now
	fi
	remove_run "$run" "$what"
	remove_dead_homes
	say "gone${late:+ cancelled}"
}

remove_dead_homes() { # removes codex homes of killed preflights on this host: their names have the pid of a dead shell
	for one in "$runs/.scratch/codex.$node."*; do
		asker=${one#"$runs/.scratch/codex.$node."}
		asker=${asker%%.*}
		case $asker in '' | *[!0-9]*) continue ;; esac
		kill -0 "$asker" 2>/dev/null || rm -rf "$one"
	done
}

has_live_attempt() { # true if an attempt of the run is alive, as far as this host can tell
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ ! -e "$dir/exit" ] && held "$dir"; then return; fi
	done
	return 1
}

await_supervisors() { # waits until they have ended: by now, they only remove old runs
	for dir in "$runs/$run/attempts/"[0-9]*; do
		rounds=0
		while [ "$rounds" -lt 100 ] && [ -e "$dir/exit" ] && held "$dir"; do
			rounds=$((rounds + 1))
			pause
		done
	done
}

unless_elsewhere() { # ends the request if an attempt of the run may be alive on another host
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ ! -e "$dir/exit" ] && elsewhere "$dir"; then
			refuse foreign "$run may still be going on another host, $at_node, which shares this home directory"
		fi
	done
}

nap_unless_discarded() { # SECONDS, may have a fraction: returns early if the run is discarded meanwhile
	napped=${1%.*}
	case $1 in *.*[1-9]*) nap "0.${1#*.}" ;; esac
	while [ "$napped" -gt 0 ] && ! is_discarded "$run"; do
		nap 1
		napped=$((napped - 1))
	done
}

remove_old_tombstones() { # removes the tombstones that are older than a day
	cd "${runs%/*}/discarded" 2>/dev/null || return 0
	read_uptime
	# shellcheck disable=SC2044 # no name that is not a run's
	for tombstone in $(find . ! -name . -prune -name '[A-Za-z0-9.]*' ! -name '*[!A-Za-z0-9._-]*' -mmin +1440); do
		discard_boot='' discard_up=''
		{ read -r what discard_boot discard_up _ <"$tombstone"; } 2>/dev/null
		# The host's clock may have jumped: use the times since the boot if both are known.
		case $discard_up:$up in
		:* | *: | *[!0-9:]*) ;;
		*) [ "$discard_boot" != "$boot_id" ] || [ $((up - discard_up)) -ge 86400 ] || continue ;;
		esac
		rm -rf "$tombstone"
	done
}

read_uptime() { # into $up: whole seconds since the boot, by a clock that users cannot set; empty if there is none
	up=
	{ read -r up _ </proc/uptime; } 2>/dev/null
	up=${up%%.*}
}
