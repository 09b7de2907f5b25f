# shellcheck shell=sh
# Finds the processes of an attempt: its supervisor, its agent, and what the agent left. Ends the latter.

identify_host() { # its id, boot and name, a word each: hosts may share a home, and pids begin again at each boot
	host_id='' boot_id='' node=''
	if [ -r /etc/machine-id ]; then read -r host_id </etc/machine-id; fi
	if [ -r /proc/sys/kernel/hostname ]; then read -r node </proc/sys/kernel/hostname; else node=$(uname -n); fi
	: "${host_id:=$node}"
	if [ -r /proc/sys/kernel/random/boot_id ]; then
		read -r boot_id </proc/sys/kernel/random/boot_id
		# The containers of one kernel share its boot id, and each has pids of its own.
		namespace=$(readlink /proc/self/ns/pid 2>/dev/null)
		boot_id=$boot_id.${namespace#pid:}
	else
		boot_id=$(sysctl -n kern.boottime 2>/dev/null | tr -dc '0-9')
	fi
	: "${host_id:=unknown}" "${boot_id:=unknown}" "${node:=unknown}"
}

born() { # PID: its start time into $born, its process group into $group; empty if it is gone, or a zombie
	born='' group=
	if [ -r /proc/self/stat ]; then
		{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
		# shellcheck disable=SC2086 # the fields behind the command's name, which may hold anything itself
		set -- ${stat##*) }
		case $1 in Z | X) ;; *) born=${20} group=$3 ;; esac
	else
		born=$(ps -o stat= -o lstart= -p "$1" 2>/dev/null | tr -s ' \n' '_')
		case $born in Z*) born= ;; esac
		born=${born#*_}
	fi
}

alive() { # PID BIRTH: true if it is still the same process
	[ -n "$1" ] || return 1
	born "$1"
	[ -n "$born" ] && [ "$born" = "$2" ]
}

read_holder() { # DIR: the attempt's supervisor, into $at_host $at_boot $sup $sup_born $at_node
	at_host='' at_boot='' sup='' sup_born='' at_node=''
	{ read -r at_host at_boot sup sup_born at_node <"$1/pid"; } 2>/dev/null
	[ -n "$sup_born" ]
}

held() { # DIR: true if its supervisor is alive, as far as this host can tell
	read_holder "$1" && [ "$at_host $at_boot" = "$host_id $boot_id" ] && alive "$sup" "$sup_born"
}

elsewhere() { # DIR: true if its supervisor is on another host, which cannot be seen from here. Cloned machines share an id
	read_holder "$1" || return 1
	[ "$at_host" = "$host_id" ] || return 0
	[ "$at_boot" != "$boot_id" ] && [ "${at_node:-$node}" != "$node" ]
}

find_children() { # PID: its children's pids into $kids
	kids=
	if [ -r "/proc/self/task" ] && [ -r "/proc/$$/task/$$/children" ]; then
		for list in "/proc/$1/task/"*/children; do
			line=
			{ read -r line <"$list"; } 2>/dev/null
			kids="$kids $line"
		done
	else
		kids=$(ps -A -o pid= -o ppid= | while read -r pid ppid; do [ "$ppid" != "$1" ] || echo "$pid"; done)
	fi
}

find_descendants() { # PID: all below it that are alive into $below, their groups into $groups; $vanished: one has just gone
	below='' queue=$1 groups='' vanished=
	while [ -n "$queue" ]; do
		next=
		for parent in $queue; do
			find_children "$parent"
			for kid in $kids; do
				next="$next $kid"
				born "$kid"
				if [ -n "$born" ]; then
					below="$below $kid" groups="$groups $group"
				elif [ -r /proc/self/stat ] && [ ! -e "/proc/$kid" ]; then
					vanished=1
				fi
			done
		done
		queue=$next
	done
}

find_marked() { # processes that carry this attempt's mark in their environment into $below
	below=
	[ -r /proc/self/environ ] || return 0
	holding "$MARK=$run/$attempt/" /proc/[0-9]*/environ
	for file in $holders; do
		pid=${file#/proc/}
		pid=${pid%/environ}
		born "$pid"
		[ -z "$born" ] || below="$below $pid"
	done
}

note_descendants() { # notes what lives below codex now: once a parent has ended, its children no longer lead to codex
	find_descendants "$codex"
	for pid in $below; do
		born "$pid"
		[ -z "$born" ] || grep -qxF "$pid $born" seen 2>/dev/null || echo "$pid $born" >>seen
	done
}

find_noted() { # noted processes that are still alive, into $below
	below=
	[ -r seen ] || return 0
	while read -r pid birth; do
		if alive "$pid" "$birth"; then below="$below $pid"; fi
	done <seen
}

find_leftovers() { # all living processes of the agent into $left
	# Also with a reaper: an older daemon of the user may have started a process for the agent.
	find_marked
	left=$below
	if [ "$reaper" = reaper ]; then
		# Each process that escapes codex becomes our child.
		find_descendants $$
		left="$left $below"
	else
		find_noted
		left="$left $below"
		helpers "/runs/$run/home/"
		left="$left $below"
	fi
	left=${left#"${left%%[0-9]*}"}
}

sweep() { # ends all leftovers; $swept and $killed say how it went
	killed=0 rounds=0 swept=best-effort groups='' vanished='' ended=' '
	[ "$reaper" != reaper ] || swept=clean
	born $$
	own=$group
	# A process that has gone meanwhile may have left a child that no list has: then look again.
	while find_leftovers && [ -n "$left$vanished" ]; do
		rounds=$((rounds + 1))
		if [ "$rounds" -gt 20 ]; then
			swept=failed
			return
		fi
		# Whole groups at once, except ours: a process that forks as fast as it can would escape from single kills.
		for one in $groups; do
			[ "$one" = "$own" ] || [ "$one" = 0 ] || kill -KILL "-$one" 2>/dev/null
		done
		for pid in $left; do
			kill -KILL "$pid" 2>/dev/null
			# Count each once, also if the kill of its group was quicker and a shell has reaped it by now.
			case $ended in
			*" $pid "*) ;;
			*) ended="$ended$pid " killed=$((killed + 1)) ;;
			esac
		done
		pause
	done
}

choose_signal() { # into $TELL: one that this shell can trap. No shell can trap a signal that was ignored when it began,
	# such as by a start-up file of the account. mksh forgets a TERM that comes before a subshell has set its trap; any
	# other signal ends that subshell
	for TELL in USR2 TERM ALRM HUP KILL; do
		[ "$TELL" != KILL ] || return 0
		heard=
		trap 'heard=1' "$TELL"
		kill -s "$TELL" $$
		: # a shell runs its traps between two commands
		trap - "$TELL"
		[ -z "$heard" ] || return 0
	done
}

pause() { sleep 0.05 2>/dev/null || sleep 1; }

find_own_process() { # the pid of this very shell into $me, with `born`: in a subshell, $$ is another's
	me=
	if [ -r /proc/self/stat ]; then { read -r me stat </proc/self/stat; } 2>/dev/null; fi
	# A child's parent is us.
	[ -n "$me" ] || me=$(sh -c 'echo "$PPID"')
	born "$me"
}

finish() { # CHILD: ends a child of this shell. By KILL: a new subshell still has our traps, and would ignore a TERM
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}
