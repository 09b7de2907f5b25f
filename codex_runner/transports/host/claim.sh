# shellcheck shell=sh
# A run's claim (a lease): one runner at a time follows the run, runs its checks and judges it. `claims/N` appears whole,
# by a hard link, and is never written again; the highest N counts. So only one of several concurrent runners gets it. Its
# holder renews it in `claims/N.beat`, in place, which needs no room on a disk. Another runner may take it over if the
# holder has not renewed it for as many seconds as its third word says. The clock counts from the boot, and cannot be
# set.
#
# A claim is words between slashes: run, token, seconds, machine, and the identity of the holder's process.

check_claim() { # checks the claim that a request names, before anything else
	case ${claim%%/*} in '' | .* | *[!A-Za-z0-9._-]*) refuse protocol "bad claim" ;; esac
	case $claim in *[!A-Za-z0-9._:@/+=-]*) refuse protocol "bad claim" ;; esac
	claims=$runs/${claim%%/*}/claims
	case $verb in
	start | launch | claim) ;; # each takes the claim later itself
	*) keep_claim || refuse taken "$taken" ;;
	esac
}

read_clock() { # seconds since the boot into $up
	read_uptime
	[ -n "$up" ] || up=$(date +%s)
}

find_latest_claim() { # the number of the claim that counts into $last, 0 without any
	last=0
	while [ -e "$claims/$((last + 1))" ]; do last=$((last + 1)); done
}

read_claim() { # N: its words, the host that it was taken on, and when
	whose='' claim_host='' claim_boot='' since='' claim_node=''
	{ read -r whose claim_host claim_boot since claim_node <"$claims/$1"; } 2>/dev/null
}

read_claim_age() { # of the last claim: seconds since it was taken into $old and renewed into $idle, - if unknown; $free: it is void
	read_clock
	old=- idle=- free='' beat=
	lasting=${whose#*/*/}
	lasting=${lasting%%/*}
	case $lasting in '' | *[!0-9]*) lasting=60 ;; esac
	if [ -n "$claim_node" ] && [ "$claim_host $claim_boot" = "$host_id $boot_id" ]; then
		{ read -r beat line <"$claims/$last.beat"; } 2>/dev/null
		case $beat in '' | *[!0-9]*) beat=$since ;; esac
		old=$((up - since)) idle=$((up - beat))
		[ "$idle" -lt "$lasting" ] || free=1
	elif [ "$claim_host $claim_node" = "$host_id $node" ]; then
		free=1 # the host was rebooted
	else
		# Taken on another host that shares this home, or damaged: only the files' dates tell.
		line=$(find "$claims/$last" "$claims/$last.beat" -mmin -2 2>/dev/null)
		[ -n "$line" ] || free=1
	fi
}

renew_claim() {
	read_clock
	{ printf '%-20s\n' "$up" 1<>"$claims/$last.beat"; } 2>/dev/null
}

keep_claim() { # renews it. False if another runner has it, which is then in $taken. Requests that start or end something
	# also check a removed run: another runner may have judged it
	find_latest_claim
	if [ "$last" = 0 ]; then
		case $verb in execute | discard) discarded_by_another || return 0 ;; *) return 0 ;; esac
		taken="- $judge - -"
		return 1
	fi
	renew_own_claim
}

renew_own_claim() { # renews the last claim if it is ours. Otherwise false, and that claim and its ages are in $taken
	read_claim "$last"
	if [ "$whose" = "$claim" ]; then
		renew_claim
		return 0
	fi
	read_claim_age
	taken="$last ${whose:--} $old $idle"
	return 1
}

take_claim() { # N: a claim whose holder is known to be dead, or -. False if another runner has it, which is then in $taken
	[ -d "$claims" ] || mkdir -p "$claims" 2>/dev/null || refuse disk "cannot make folders in $runs"
	while :; do
		find_latest_claim
		if [ "$last" != 0 ]; then
			if renew_own_claim; then return 0; fi
			if [ "$last" != "$1" ] && [ -z "$free" ]; then return 1; fi
			# Another runner has taken this claim over from us. Start nothing more, even if that runner is gone.
			for number in "$claims"/*[0-9]; do
				read_claim "${number##*/}"
				[ "$whose" != "$claim" ] || return 1
			done
		fi
		put_claim
	done
}

put_claim() { # as the next number, unless another runner is faster
	read_clock
	whole="$claim $host_id $boot_id $up $node"
	new=$claims/.new.$nonce
	if ! { printf '%s\n' "$whole" >"$new"; } 2>/dev/null; then
		# On a full disk, use the file that the first claim has allocated for that.
		if ! { mv "$claims/room" "$new" && printf '%s\n' "$whole" 1<>"$new"; } 2>/dev/null; then
			rm -f "$new"
			refuse disk "no room, or no right to write, in $runs"
		fi
	fi
	next=$claims/$((last + 1))
	# The first name stays: it costs nothing. Without hard links, create it exclusively. A torn claim counts by its date.
	ln "$new" "$next" 2>/dev/null || [ -e "$next" ] || (set -C && printf '%s\n' "$whole" >"$next") 2>/dev/null ||
		[ -e "$next" ] || refuse disk "no right to write in $runs"
	for room in room work.room; do
		[ -e "$claims/$room" ] || { printf '%1024s\n' '' >"$claims/$room"; } 2>/dev/null
	done
}

claim() { # the request: N or -, as for take_claim. A runner sends it to continue a run (attach)
	IFS= read -r dead || refuse torn "the request ended early"
	received
	if is_discarded "${claim%%/*}" || [ ! -d "$runs/${claim%%/*}/attempts" ]; then
		say none
		return
	fi
	take_claim "$dead" || refuse taken "$taken"
	end_works || refuse busy "a command of the previous runner could not be ended"
	say "claimed $last"
}

# A command is registered before it checks the claim. So the next holder sees the command, or it sees the new claim.

begin_work() { # false if another runner has the claim
	work=
	[ -n "$claim" ] || return 0
	if [ -d "$claims" ]; then
		find_own_process
		# One file a session, written in place: it is never there in part, and the next command needs no more room.
		work=$claims/work.$$ work_by="$me $born"
		if ! note_work "$work_by"; then
			work=$claims/work.room
			note_work "$work_by" || refuse disk "no room, or no right to write, in $runs"
		fi
	fi
	keep_claim && return
	end_work
	return 1
}

note_work() { # WORDS
	{ printf '%-200s\n' "$1" 1<>"$work"; } 2>/dev/null
}

name_work() { # PID BIRTH: the leader of the command's process group
	[ -z "$work" ] || note_work "$work_by $1 $2"
}

end_work() { # the command has ended. The file stays: removing it would cost a process
	[ -z "$work" ] || note_work ''
}

end_works() { # ends all commands under earlier claims. False if a process survives
	tries=0
	for one in "$claims"/work.*; do
		seen='' began='' since=$tries
		while :; do
			shell='' shell_birth='' leader='' leader_birth=
			{ read -r shell shell_birth leader leader_birth <"$one"; } 2>/dev/null
			if alive "$leader" "$leader_birth"; then
				find_descendants "$leader"
				if [ -z "$seen" ]; then
					# A leader that sweeps starts its sweep on any of these signals.
					for name in TERM USR2 ALRM HUP; do kill -s "$name" "$leader"; done 2>/dev/null
				elif [ $((tries - since)) -gt 100 ]; then
					end_each "$below $leader"
				fi
				seen="$leader $below"
			elif [ -n "$seen" ]; then
				end_each "$seen"
				seen=
			elif ! alive "$shell" "$shell_birth"; then
				break
			elif [ $((tries - since)) -gt 20 ]; then
				# It was stopped before it could register its command, which may have begun or not.
				find_descendants "$shell"
				if [ -n "$below" ]; then
					end_each "$below"
					began=1
				elif [ -n "$began" ]; then
					break
				fi
			fi
			tries=$((tries + 1))
			[ "$tries" -lt 400 ] || return 1
			pause
		done
	done
}

end_each() { # PIDS: kills each, and the process group that it may lead
	for pid in $1; do kill -KILL "-$pid" || kill -KILL "$pid"; done 2>/dev/null
}
