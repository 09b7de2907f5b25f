# shellcheck shell=sh
# The host's side of a run: POSIX sh, nothing to install. One script, three lives:
#
#   front      what the runner talks to: reads one framed request from stdin, answers it, and is gone again
#   supervise  what stays: detached, the parent of codex, the only one that writes `exit`
#   ticker     a loop beside the supervisor: time limits, the lease, stop requests
#
# The run directory is the protocol: <state>/codex-runner/runs/<run-id>/{home,lease,attempts/N/...}. `attempts/N` appears
# by one rename, complete, with its supervisor's pid inside: that rename is the lock, and there is never a half-made
# attempt to guess about. Everything is read and verified before it, so that torn input starts nothing.
#
# Values of a job are data lines, never script text. Functions first and the call on the last line, so that a
# truncated script runs nothing. No here-documents: some shells put them into files, and lines may be secret.

NL='
'
MARK=CODEX_RUNNER_MARK

say() { printf '%s %s\n' "$nonce" "$*"; }

refuse() { # WORD MESSAGE: tell the runner why nothing was done, and end
	say error "$@"
	exit 0
}

decode() { # ENCODED: into $decoded, trailing newlines and all
	decoded=$(printf '%b.' "$1")
	decoded=${decoded%.}
}

# --- who is alive ----------------------------------------------------------------------------------------------------

here() { # this host and this boot, in two words: homes may be shared by hosts, and pids begin again at a boot
	host_id='' boot_id=''
	if [ -r /etc/machine-id ]; then read -r host_id </etc/machine-id; fi
	[ -n "$host_id" ] || host_id=$(uname -n)
	if [ -r /proc/sys/kernel/random/boot_id ]; then
		read -r boot_id </proc/sys/kernel/random/boot_id
	else
		boot_id=$(sysctl -n kern.boottime 2>/dev/null | tr -dc '0-9')
	fi
	: "${host_id:=unknown}" "${boot_id:=unknown}"
}

born() { # PID: its start time into $born, empty where there is no such process (a zombie counts as none)
	born=
	if [ -r /proc/self/stat ]; then
		{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
		# shellcheck disable=SC2086 # the fields behind the command's name, which may hold anything itself
		set -- ${stat##*) }
		case $1 in Z | X) ;; *) born=${20} ;; esac
	else
		born=$(ps -o stat= -o lstart= -p "$1" 2>/dev/null | tr -s ' \n' '_')
		case $born in Z*) born= ;; esac
		born=${born#*_}
	fi
}

alive() { # PID BIRTH: is it still the same process?
	[ -n "$1" ] || return 1
	born "$1"
	[ -n "$born" ] && [ "$born" = "$2" ]
}

holder() { # DIR: who holds this attempt, into $at_host $at_boot $sup $sup_born
	at_host='' at_boot='' sup='' sup_born=''
	{ read -r at_host at_boot sup sup_born <"$1/pid"; } 2>/dev/null
	[ -n "$sup_born" ]
}

held() { # DIR: is its supervisor alive, as far as this host can say?
	holder "$1" && [ "$at_host $at_boot" = "$host_id $boot_id" ] && alive "$sup" "$sup_born"
}

# --- what is left ----------------------------------------------------------------------------------------------------

children() { # PID: its children's pids into $kids
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

descendants() { # PID: all below it that are alive into $below
	below='' queue=$1
	while [ -n "$queue" ]; do
		next=
		for parent in $queue; do
			children "$parent"
			for kid in $kids; do
				next="$next $kid"
				born "$kid"
				[ -z "$born" ] || below="$below $kid"
			done
		done
		queue=$next
	done
}

marked() { # processes that carry this attempt's mark in their environment into $below
	below=
	[ -r /proc/self/environ ] || return 0
	# shellcheck disable=SC2013 # file names of /proc have no spaces
	for file in $(grep -lF "$MARK=$run/$attempt/" /proc/[0-9]*/environ 2>/dev/null); do
		pid=${file#/proc/}
		pid=${pid%/environ}
		born "$pid"
		[ -z "$born" ] || below="$below $pid"
	done
}

remember() { # note what lives below codex now, for the time when nothing ties it to codex any more
	descendants "$codex"
	for pid in $below; do
		born "$pid"
		[ -z "$born" ] || grep -qxF "$pid $born" seen 2>/dev/null || echo "$pid $born" >>seen
	done
}

remembered() { # what was noted and still lives into $below
	below=
	[ -r seen ] || return 0
	while read -r pid birth; do
		if alive "$pid" "$birth"; then below="$below $pid"; fi
	done <seen
}

leftovers() { # everything of the agent that is alive into $left
	if [ "$reaper" = reaper ]; then
		# Whatever escapes codex becomes our child: our descendants are all there can be.
		descendants $$
		left=$below
	else
		marked
		left=$below
		remembered
		left="$left $below"
	fi
	left=${left#"${left%%[0-9]*}"}
}

sweep() { # end all that is left; $swept and $killed say how it went
	killed=0 rounds=0 swept=best-effort
	[ "$reaper" != reaper ] || swept=clean
	while leftovers && [ -n "$left" ]; do
		rounds=$((rounds + 1))
		if [ "$rounds" -gt 20 ]; then
			swept=failed
			return
		fi
		for pid in $left; do
			kill -KILL "$pid" 2>/dev/null && killed=$((killed + 1))
		done
		pause
	done
}

pause() { sleep 0.05 2>/dev/null || sleep 1; }

# --- the supervisor --------------------------------------------------------------------------------------------------

nap() { # SECONDS: a sleep that goes when its loop is told to
	sleep "$1" &
	napping=$!
	wait "$napping"
}

looping() { trap 'kill "$napping" 2>/dev/null; wait "$napping" 2>/dev/null; exit 0' TERM; }

end_loop() { # PID of a looping subshell
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

note_stop() { # REASON: why codex is being ended; the first one wins
	(set -C && printf '%s\n' "$1" >stop) 2>/dev/null
}

ticker() { # counts its own ticks, never wall time, so that a machine that was suspended does not kill its runs
	looping
	ticks=0 idle=0 last=
	while nap 1; do
		alive $$ "$self_born" || inherit
		ticks=$((ticks + 1)) idle=$((idle + 1)) lease=
		{ read -r lease <../../lease; } 2>/dev/null
		[ "$lease" = "$last" ] || idle=0
		last=$lease
		[ "$ticks" -lt "$timeout" ] || note_stop timeout
		[ "$idle" -lt "$orphan" ] || note_stop orphaned
		# Each second again: a signal that falls between the supervisor's check and its wait would be lost.
		[ ! -e stop ] || kill -TERM $$ 2>/dev/null
		[ "$reaper" = reaper ] || remember
	done
}

inherit() { # the supervisor was killed (by the OOM killer, say): its ticker ends what it has left behind
	reaper=plain
	end_alone lost
	exit 0
}

end_alone() { # REASON: end codex where its supervisor, its parent, is dead
	note_stop "$1"
	codex='' birth='' status=-
	{ read -r codex birth <codex.pid; } 2>/dev/null
	if alive "$codex" "$birth"; then
		remember
		executioner &
		killer=$!
		while alive "$codex" "$birth"; do pause; done
		end_loop "$killer"
	fi
	sweep
	write_exit
}

executioner() { # INT, 2 s, TERM, 1 s, KILL: codex ends cleanly on INT only; TERM and KILL orphan its commands
	looping
	kill -INT "$codex" 2>/dev/null
	nap 2
	kill -TERM "$codex" 2>/dev/null
	nap 1
	kill -KILL "$codex" 2>/dev/null
}

await_codex() { # until it is gone, whatever interrupts; its status into $status
	killer=
	while :; do
		if [ -n "$stopping" ] && [ -z "$killer" ]; then
			note_stop terminated
			[ "$reaper" = reaper ] || remember
			executioner &
			killer=$!
		fi
		wait "$codex"
		status=$?
		# Above 128 it may be an interrupted wait: while the process, or its zombie, is there, wait again.
		kill -0 "$codex" 2>/dev/null || break
	done
	trap '' TERM
	end_loop "$killer"
}

write_exit() { # once, by rename: what the runner believes, whatever else it hears
	code=$status signal=-
	if [ "$status" = - ]; then
		code=-
	elif [ "$status" -gt 128 ]; then
		code=- signal=$((status - 128))
	fi
	stopped=none
	{ read -r stopped <stop; } 2>/dev/null
	# shellcheck disable=SC2046 # numbers: checksum and size, then size
	set -- $(cksum <stdout) $(wc -c <stderr)
	printf '%s\n' "code $code" "signal $signal" "stopped $stopped" "cksum $1" "bytes $2" "stderr_bytes $3" \
		"swept $swept" "killed $killed" >exit.new && mv exit.new exit
}

become_codex() { # in a subshell, stdin, stdout and stderr in place: the environment, the directory, the program
	IFS=$NL
	set -f
	for line in $environment; do
		decode "${line#* }"
		export "${line%% *}=$decoded"
	done
	export "$MARK=$run/$attempt/" "CODEX_HOME=$home"
	unset IFS
	set +f
	# Behind the lock: whoever merely joins must not touch the configuration of a codex that runs.
	cp config "$home/config.toml" && cd "$cwd" || exit 125
	unset OLDPWD
	# The pid is on record before codex runs: an attempt whose codex.pid is empty has never run one. $$ is the
	# supervisor's, also in this subshell; a child's parent is us.
	me=$(sh -c 'echo "$PPID"')
	born "$me"
	echo "$me $born" >&3 || exit 126
	exec "$@" 3>&-
}

supervise() { # in the attempt's staging directory; stdin: the environment's lines, then a dot
	reaper=$1
	{ read -r nonce run attempt timeout orphan && IFS= read -r line; } <request || exit 1
	decode "$line"
	cwd=$decoded
	here
	born $$
	self_born=$born
	printf '%s %s %s %s\n' "$host_id" "$boot_id" $$ "$self_born" >pid || exit 1
	environment='' line=
	while IFS= read -r line && [ "$line" != . ]; do environment="$environment$line$NL"; done
	[ "$line" = . ] || exit 1
	set --
	while IFS= read -r line; do
		decode "$line"
		set -- "$@" "$decoded"
	done <args
	{ : >stdout && : >stderr && : >codex.pid; } || exit 1

	# The lock. Where the attempt is there already, mv fails or puts us inside it: somebody else holds it.
	mv "../.$attempt.$nonce" "../$attempt" 2>/dev/null
	held_by=
	{ read -r held_by line <"../$attempt/request"; } 2>/dev/null
	if [ "$held_by" != "$nonce" ]; then
		rm -rf "../$attempt/.$attempt.$nonce" "../.$attempt.$nonce"
		say joined
		exit 0
	fi

	home=$(cd ../.. && pwd)/home
	stopping=
	trap 'stopping=1' TERM
	(become_codex "$@") <prompt >>stdout 2>>stderr 3>>codex.pid &
	codex=$!
	environment=
	say new
	# Whoever reads our answer waits for the end of it.
	exec >/dev/null
	ticker &
	ticking=$!
	await_codex
	end_loop "$ticking"
	sweep
	write_exit
}

# --- the front -------------------------------------------------------------------------------------------------------

scrub() { # what the host's environment gives to codex: paths, languages, proxies, CAs, and what CI reapers look for
	# shellcheck disable=SC2013 # names have no spaces; values over several lines give false ones, which is harmless
	for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p'); do
		case $name in
		PATH | HOME | USER | LOGNAME | SHELL | LANG | LANGUAGE | LC_* | TZ | TMPDIR | XDG_STATE_HOME | XDG_RUNTIME_DIR) ;;
		HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY | http_proxy | https_proxy | all_proxy | no_proxy) ;;
		SSL_CERT_FILE | SSL_CERT_DIR | CODEX_CA_CERTIFICATE | RUNNER_TRACKING_ID | JENKINS_NODE_COOKIE) ;;
		PWD | OLDPWD | SHLVL | _) ;;
		*) command unset "$name" 2>/dev/null ;;
		esac
	done
}

detach() { # in the staging directory, stdin: the environment. Becomes a session of its own and, on Linux, a subreaper
	set -- sh ./supervisor.sh
	if [ "$(uname -s)" = Linux ]; then
		case $(uname -m) in
		x86_64) prctl=157 ;;
		aarch64 | arm64 | riscv64) prctl=167 ;;
		*) prctl= ;;
		esac
		if [ -n "$prctl" ] && command -v perl >/dev/null 2>&1; then
			# shellcheck disable=SC2016 # perl's variables
			set -- perl -e '$r = syscall(shift, 36, 1, 0, 0, 0) ? "plain" : "reaper"; exec @ARGV, $r' "$prctl" "$@"
			leader "$@"
		fi
		if command -v python3 >/dev/null 2>&1; then
			exec python3 -I -c 'import ctypes, os, sys
os.setsid()
reaper = ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
os.execvp(sys.argv[1], [*sys.argv[1:], "reaper" if reaper else "plain"])' "$@"
		fi
	fi
	leader "$@" plain
}

receive() { # FILE SIZE CKSUM: exactly so many bytes from stdin (a shell's read or head may take more), verified
	dd ibs=1 obs=65536 count="$2" 2>/dev/null >"$1"
	# shellcheck disable=SC2046 # two numbers: checksum and size
	set -- "$1" "$2" "$3" $(cksum <"$1")
	[ "$5" = "$2" ] && [ "$4" = "$3" ]
}

start() {
	timeout='' orphan='' cwd_line='' args='' environment='' config='' prompt=''
	while IFS= read -r line && [ "$line" != ".$nonce" ]; do
		value=${line#* }
		case $line in
		"timeout "*) timeout=$value ;;
		"orphan "*) orphan=$value ;;
		"cwd "*) cwd_line=$value ;;
		"config "*) config=$value ;;
		"prompt "*) prompt=$value ;;
		"arg "*) args="$args$value$NL" ;;
		"env "*)
			case ${value%% *} in '' | [0-9]* | *[!A-Za-z0-9_]*) refuse protocol "bad environment name" ;; esac
			environment="$environment$value$NL"
			;;
		*) refuse protocol "unknown line in the request" ;;
		esac
	done
	[ "$line" = ".$nonce" ] || refuse torn "the request ended early"

	if ! { mkdir -p "$runs/$run/attempts" && cd "$runs/$run/attempts" && mkdir ".$attempt.$nonce" && cd ".$attempt.$nonce"; }; then
		refuse disk "cannot make folders in $runs"
	fi
	# shellcheck disable=SC2086 # two numbers each
	if ! { receive config $config && receive prompt $prompt && IFS= read -r line && [ "$line" = ".$nonce" ]; }; then
		rm -rf "../.$attempt.$nonce"
		refuse torn "the request ended early, or the disk is full: $runs"
	fi
	# shellcheck disable=SC2154 # script: this very text, set by whoever started it
	if ! {
		printf '%s\n' "$nonce $run $attempt $timeout $orphan" "$cwd_line" >request &&
			printf '%s' "$args" >args && printf '%s\n' "$script" >supervisor.sh && mkdir -p ../../home
	}; then
		abandon disk "cannot write in $runs"
	fi
	decode "${args%%"$NL"*}"
	[ -x "$decoded" ] || abandon codex "$decoded is not an executable file"
	decode "$cwd_line"
	if ! { [ -d "$decoded" ] && [ -x "$decoded" ]; }; then
		abandon cwd "$decoded is not a directory that can be entered"
	fi

	if [ -e "../$attempt" ]; then
		if [ -s "../$attempt/codex.pid" ] || held "../$attempt"; then
			rm -rf "../.$attempt.$nonce"
			say joined
			return
		fi
		holder "../$attempt"
		if [ "$at_host $at_boot" != "$host_id $boot_id" ]; then
			abandon foreign "attempt $attempt was begun on another host or before a reboot, and never ran"
		fi
		# Its supervisor died before it ran codex, and the dead do not come back.
		mv "../$attempt" "../.$attempt.never-started.$nonce" 2>/dev/null
	fi
	for other in ../[0-9]*; do
		if [ "$other" != "../$attempt" ] && [ ! -e "$other/exit" ] && held "$other"; then
			abandon busy "attempt ${other#../} of this run is still going"
		fi
	done
	# What it answers goes through a substitution, which ends when the supervisor closes its stdout.
	answer=$({ printf '%s.\n' "$environment"; } | { (scrub && detach) <&3 2>>supervisor.log 3<&- & } 3<&0)
	case $answer in
	"$nonce "*) printf '%s\n' "$answer" ;;
	*) refuse never-started "the supervisor did not start: $(tail -c 300 supervisor.log 2>/dev/null | tr '\n' ' ')" ;;
	esac
}

abandon() { # WORD MESSAGE: refuse, and take the staging directory away
	rm -rf "../.$attempt.$nonce"
	refuse "$@"
}

# --- following over a connection -------------------------------------------------------------------------------------
#
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
			: >"heard.$nonce"
			;;
		"stop "*)
			note_stop "${line#stop }"
			kill -TERM "$sup" 2>/dev/null
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
		size=$(($(wc -c <stderr)))
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
			if [ "$at_host" != "$host_id" ]; then
				frame "lost the run is on another host that shares this home directory"
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

execute() { # a script of the runner's, with its arguments, bounded in time; its last MiB of output comes back
	timeout='' cwd_line='' args='' body=''
	while IFS= read -r line && [ "$line" != ".$nonce" ]; do
		value=${line#* }
		case $line in
		"timeout "*) timeout=$value ;;
		"cwd "*) cwd_line=$value ;;
		"arg "*) args="$args$value$NL" ;;
		"script "*) body=$value ;;
		*) refuse protocol "unknown line in the request" ;;
		esac
	done
	[ "$line" = ".$nonce" ] || refuse torn "the request ended early"
	scratch=$(mktemp -d) || refuse disk "no temporary folder"
	trap 'rm -rf "$scratch"' EXIT
	# shellcheck disable=SC2086 # two numbers
	if ! { receive "$scratch/script" $body && IFS= read -r line && [ "$line" = ".$nonce" ]; }; then
		refuse torn "the request ended early"
	fi
	IFS=$NL
	set -f --
	for line in $args; do
		decode "$line"
		set -- "$@" "$decoded"
	done
	unset IFS
	set +f
	decode "$cwd_line"
	cd "${decoded:-$HOME}" || refuse cwd "${decoded:-$HOME} is not a directory that can be entered"
	exec 5<&0
	(scrub && leader sh "$scratch/script" "$@" 5<&-) </dev/null >"$scratch/output" 2>&1 &
	working=$!
	# Ends with the connection too: nobody would read what it says.
	(while IFS= read -r line; do :; done && kill -KILL "-$working") <&5 2>/dev/null &
	listening=$!
	(
		looping
		nap "$timeout"
		: >"$scratch/late"
		kill -KILL "-$working"
	) 2>/dev/null &
	timing=$!
	wait "$working"
	status=$?
	end_loop "$timing"
	kill "$listening" 2>/dev/null
	kill -KILL "-$working" 2>/dev/null
	[ ! -e "$scratch/late" ] || status=late
	tail -c 1048576 "$scratch/output" >"$scratch/tail"
	say "done $status $(($(wc -c <"$scratch/tail")))"
	cat "$scratch/tail"
}

leader() { # becomes the leader of a session and of a process group of its own
	# setsid forks only where it leads a process group already, which a background command does not.
	if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
	exec perl -e 'use POSIX (); POSIX::setsid(); exec @ARGV' "$@"
}

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
	[ "$at_host $at_boot" = "$host_id $boot_id" ] || refuse foreign "$run runs on another host, or ran before a reboot"
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
		if [ ! -e "$dir/exit" ] && held "$dir"; then refuse busy "$run is still going"; fi
	done
	cd "$runs" && rm -rf "./$run" && say gone
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
	stop) stop ;;
	discard) discard ;;
	*) refuse protocol "unknown verb" ;;
	esac
}

case ${1-} in reaper | plain) umask 077 && supervise "$1" ;; *) front ;; esac
