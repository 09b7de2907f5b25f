# shellcheck shell=sh
# Tombstones: a run that was discarded stays discarded. A network may hold a request back, and deliver it when the run
# has its verdict.
#
# <state>/codex-runner/discarded/RUN is written before anything of the run is removed, and kept for a day. Whatever is to
# make something for a run makes its folder first and then looks here. `discard` writes first and then looks for what is
# alive. So one of the two always sees the other.

entombed() { # RUN: was it discarded?
	[ "$1" != none ] && [ -e "${runs%/*}/discarded/$1" ]
}

unless_entombed() { # ends the request if its run was discarded
	if entombed "$run"; then refuse discarded "$run has been discarded: a request for it comes too late"; fi
}

unless_sent_again() { # ends the request if its sender has lost that connection since, and has sent another one on the next
	case $run.$sender in none.* | *.-) return 0 ;; esac
	lost=${sender#*.} sender=${sender%%.*} known=0
	case $sender in '' | *[!0-9a-f]*) refuse protocol "bad sender" ;; esac
	case $lost in '' | *[!0-9]*) refuse protocol "bad sender" ;; esac
	sender=${runs%/*}/discarded/.sent.$run.$sender
	{ read -r known <"$sender"; } 2>/dev/null
	[ "$lost" -ge "${known:-0}" ] || refuse stale "its runner has asked again since, over another connection"
	# A disk that is full takes the second wall away, and not the first.
	[ "$lost" -le "${known:-0}" ] ||
		{ mkdir -p "${sender%/*}" && echo "$lost" >"$sender.$nonce" && mv "$sender.$nonce" "$sender"; } 2>/dev/null
	return 0
}

buried_by_another() { # was the claim's run judged and discarded by another runner than the one that asks?
	judge=
	# By the claim's own words: a command need not name its run.
	{ read -r _ _ _ judge <"${runs%/*}/discarded/${claim%%/*}"; } 2>/dev/null
	case $judge in "$claim") return 1 ;; "${claim%%/*}/"*) return 0 ;; *) return 1 ;; esac
}

entomb() { # RUN WHAT: notes that it is discarded, `all` of it or all `but-workspace`. False if it cannot be noted
	grave=${runs%/*}/discarded/$1
	read_uptime
	# An empty one is enough: on a full disk there may be room for a name and none for a byte.
	{ mkdir -p "${grave%/*}" && printf '%s %s %s %s\n' "$2" "$boot_id" "${up:--}" "${claim:--}" >"$grave"; } 2>/dev/null
	[ -e "$grave" ] && return
	# No room for a name either: one rename makes it of the run's own folder.
	mv "$runs/$1" "$grave" 2>/dev/null
}

bury() { # RUN WHAT: removes what there is of a run that has a tombstone
	if [ -d "$runs/$1" ]; then
		# A proof of the sandbox may have been killed, and then there was no supervisor to look after it.
		end_helpers "/runs/$1/home/"
		remove_points "$runs/$1"
	fi
	if [ "$2" = all ]; then remove "$workspaces/$1" "$workspaces/.$1."*; fi
	remove "${runs%/*}/skills/$1"
	remove "$runs/$1" "${runs%/*}/discarded/.sent.$1."*
	grave=${runs%/*}/discarded/$1
	if [ -d "$grave" ]; then remove "$grave"/* "$grave"/.[!.]*; fi
}

bury_again() { # RUN: removes what a request has made that came before the run was discarded, and ended after it
	what=
	# One without a byte, of a full disk, does not say whether the workspace was to stay. Then it stays.
	{ read -r what _ <"${runs%/*}/discarded/$1"; } 2>/dev/null
	cd / && bury "$1" "$what"
}

remove() { # PATH...: or say why not
	rm -rf "$@" 2>/dev/null && return
	# A follower that nobody listens to any more may be counting the lease up; and some tools leave folders read-only.
	chmod -R u+rwx "$@" 2>/dev/null
	{ pause && rm -rf "$@" 2>/dev/null; } || { pause && rm -rf "$@"; } || refuse disk "$1 cannot be removed"
}

discard() { # the run's directory goes, and its workspace or not, unless something in it is alive
	IFS= read -r what
	received
	case $what in all | but-workspace) ;; *) refuse torn "the request ended early" ;; esac
	unless_elsewhere
	if living; then refuse busy "$run is still going"; fi
	await_supervisors
	known='' late=
	if entombed "$run"; then
		known=1
		{ read -r _ && read -r late; } 2>/dev/null <"${runs%/*}/discarded/$run"
	fi
	entomb "$run" "$what" || refuse disk "no room, or no right to write, in ${runs%/*}/discarded, so nothing of $run was removed"
	# A late start may have made an attempt in between. It sees the tombstone, and goes.
	looks=0
	while living; do
		looks=$((looks + 1))
		if [ "$looks" -gt 100 ]; then
			[ -n "$known" ] || rm -f "${runs%/*}/discarded/$run"
			refuse busy "$run is still going"
		fi
		pause
	done
	if wished; then late=cancelled; fi
	# In the tombstone too: the answer to this may be lost, and the request sent again.
	[ -z "$late" ] || { echo "$late" >>"${runs%/*}/discarded/$run"; } 2>/dev/null
	if [ "$what" != all ] && [ -e "$workspaces/$run" ]; then
		touch "$workspaces/$run" # from now on its time counts
	fi
	bury "$run" "$what"
	sweep_homes
	say "gone${late:+ cancelled}"
}

sweep_homes() { # codex's homes of looks at its token that were killed: their shell's pid is in their name, and dead
	for one in "$runs/.scratch/codex.$node."*; do
		asker=${one#"$runs/.scratch/codex.$node."}
		asker=${asker%%.*}
		case $asker in '' | *[!0-9]*) continue ;; esac
		kill -0 "$asker" 2>/dev/null || rm -rf "$one"
	done
}

living() { # is an attempt of the run alive, as far as this host can say?
	for dir in "$runs/$run/attempts/"[0-9]*; do
		if [ ! -e "$dir/exit" ] && held "$dir"; then return; fi
	done
	return 1
}

await_supervisors() { # they have only to look for old runs by now
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

nap_unless_entombed() { # SECONDS, perhaps with a fraction: ends sooner if the run is discarded meanwhile
	napped=${1%.*}
	case $1 in *.*[1-9]*) nap "0.${1#*.}" ;; esac
	while [ "$napped" -gt 0 ] && ! entombed "$run"; do
		nap 1
		napped=$((napped - 1))
	done
}

forget() { # removes the tombstones that are older than a day
	cd "${runs%/*}/discarded" 2>/dev/null || return 0
	read_uptime
	# shellcheck disable=SC2044 # no name that is not a run's
	for grave in $(find . ! -name . -prune -name '[A-Za-z0-9.]*' ! -name '*[!A-Za-z0-9._-]*' -mmin +1440); do
		buried_at='' buried_up=''
		{ read -r what buried_at buried_up _ <"$grave"; } 2>/dev/null
		# The host's clock may have jumped. If both times since the boot are known, they decide.
		case $buried_up:$up in
		:* | *: | *[!0-9:]*) ;;
		*) [ "$buried_at" != "$boot_id" ] || [ $((up - buried_up)) -ge 86400 ] || continue ;;
		esac
		rm -rf "$grave"
	done
}

read_uptime() { # into $up: whole seconds since the boot, by a clock that nobody sets; empty if there is none
	up=
	{ read -r up _ </proc/uptime; } 2>/dev/null
	up=${up%%.*}
}
