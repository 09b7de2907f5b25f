# shellcheck shell=sh
# Starts an attempt: reads and verifies everything before the rename, which is the lock.

scrub() { # keeps only codex's part of the environment: paths, languages, proxies, CAs, and the marks of CI reapers
	# Not from `env`: there, a value of several lines looks like several variables. An empty list means that awk failed.
	names=$(awk 'BEGIN { for (name in ENVIRON) if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print name }') && [ -n "$names" ] || exit
	for name in $names; do
		case $name in
		PATH | HOME | USER | LOGNAME | SHELL | LANG | LANGUAGE | LC_* | TZ | TMPDIR | XDG_STATE_HOME | XDG_RUNTIME_DIR) ;;
		HTTP_PROXY | HTTPS_PROXY | ALL_PROXY | NO_PROXY | http_proxy | https_proxy | all_proxy | no_proxy) ;;
		SSL_CERT_FILE | SSL_CERT_DIR | CODEX_CA_CERTIFICATE | RUNNER_TRACKING_ID | JENKINS_NODE_COOKIE | VSTS_PROCESS_LOOKUP_ID) ;;
		PWD | OLDPWD | SHLVL | _) ;;
		*) command unset -v "$name" 2>/dev/null ;;
		esac
	done
}

reaping() { # WORDS COMMAND...: becomes the command, in a new session and, on Linux, as a subreaper. Inserts one word behind
	# the first WORDS words: reaper or plain. Resets signals that a start-up file may have ignored
	system=$(uname -sm)
	if [ "${system%% *}" = Linux ]; then
		case ${system#* } in
		x86_64) prctl=157 ;;
		aarch64 | arm64 | riscv64) prctl=167 ;;
		*) prctl= ;;
		esac
		if [ -n "$prctl" ] && command -v perl >/dev/null 2>&1; then
			export PERL_BADLANG=0 # otherwise perl prints a warning of a missing locale into the command's output
			# shellcheck disable=SC2016 # perl's variables
			set -- perl -e 'delete $ENV{PERL_BADLANG}; $SIG{$_} = "DEFAULT" for keys %SIG;
$r = syscall(shift, 36, 1, 0, 0, 0) ? "plain" : "reaper"; $n = shift; exec splice(@ARGV, 0, $n), $r, @ARGV' "$prctl" "$@"
			leader "$@"
		fi
		if command -v python3 >/dev/null 2>&1; then
			exec python3 -I -c 'import ctypes, os, signal, sys
for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(each, signal.SIG_DFL)
os.setsid()
reaper = ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
words, command = int(sys.argv[1]), sys.argv[2:]
os.execvp(command[0], [*command[:words], "reaper" if reaper else "plain", *command[words:]])' "$@"
		fi
	fi
	words=$1 number=0 total=$#
	shift
	while [ "$number" -lt "$((total - 1))" ]; do # moves each word to the back, and inserts ours
		[ "$number" != "$words" ] || set -- "$@" plain
		set -- "$@" "$1"
		shift
		number=$((number + 1))
	done
	[ "$number" -gt "$words" ] || set -- "$@" plain
	leader "$@"
}

leader() { # becomes the leader of a new session and process group
	# setsid forks only if it already leads a process group, which a background command does not.
	if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
	exec perl -e 'use POSIX (); $SIG{$_} = "DEFAULT" for keys %SIG; POSIX::setsid(); exec @ARGV' "$@"
}

take_variable() { # $value: NAME ENCODED, into $environment
	case ${value%% *} in '' | [0-9]* | *[!A-Za-z0-9_]*) refuse protocol "bad environment name" ;; esac
	environment="$environment$value$NL"
}

receive() { # FILE SIZE CKSUM: reads exactly so many bytes of the request, and verifies them
	{ true >"$1" && take "$1" "$2"; } 2>/dev/null || abandon disk "no room, or no right to write, in $runs"
	[ "$2" != 0 ] || return 0
	# shellcheck disable=SC2046 # two numbers: checksum and size
	set -- "$1" "$2" "$3" $(cksum <"$1")
	[ "$5" = "$2" ] && [ "$4" = "$3" ]
}

remove_dead_runs() { # those whose last attempt has no end and no supervisor, and had no runner for its whole orphan timeout
	for dead in "$runs"/*; do
		last=0
		for dir in "$dead"/attempts/[0-9]*; do
			[ -d "$dir" ] && [ "$dead" != "$runs/$run" ] || continue 2
			if [ ! -e "$dir/exit" ] && { held "$dir" || elsewhere "$dir"; }; then continue 2; fi
			[ "${dir##*/}" -le "$last" ] || last=${dir##*/}
		done
		dir=$dead/attempts/$last alone=
		[ ! -e "$dir/exit" ] && { read -r line line line line alone line <"$dir/request"; } 2>/dev/null
		case $alone in '' | *[!0-9]*) continue ;; esac
		line=$(find "$dead" -prune -mmin "+$(((alone + 59) / 60))" 2>/dev/null)
		[ -n "$line" ] || continue
		read_holder "$dir"
		received # the runner's request waits: no byte of it is read while a dead run is ended
		# A subshell: no failure in here keeps the new run from starting.
		(
			[ "$at_boot" != "$boot_id" ] || end_left_of "${dead##*/}" "$last"
			cd / && write_tombstone "${dead##*/}" but-workspace && remove_run "${dead##*/}" but-workspace
		) </dev/null >/dev/null 2>&1
		await_again
	done
}

end_left_of() { # RUN ATTEMPT: in a subshell
	run=$1 attempt=$2 reaper=plain
	cd "$runs/$run/attempts/$attempt" && end_left
}

start() {
	timeout='' orphan='' retention='' cwd_line='' args='' environment='' config='' schema='' instructions='' prompt='' records='' tick=1
	while read_line && [ "$line" != ".$nonce" ]; do
		value=${line#* }
		case $line in
		"timeout "*) timeout=$value ;;
		"orphan "*) orphan=$value ;;
		"retention "*) retention=$value ;;
		"tick "*) tick=$value ;;
		"cwd "*) cwd_line=$value ;;
		"config "*) config=$value ;;
		"schema "*) schema=$value ;;
		"instructions "*) instructions=$value ;;
		"prompt "*) prompt=$value ;;
		"records "*) records=$value ;;
		"arg "*) args="$args$value$NL" ;;
		"env "*) take_variable ;;
		*) refuse protocol "unknown line in the request" ;;
		esac
	done
	[ "$line" = ".$nonce" ] || refuse torn "the request ended early"
	case $tick in *[!0-9.]* | *.*.*) tick= ;; esac
	case $tick in *[1-9]*) ;; *) refuse protocol "bad tick" ;; esac

	remove_dead_runs
	if ! { mkdir -p "$runs/$run/attempts" "$runs/$run/home" "${runs%/*}/discarded" ${claims:+"$claims"} && cd "$runs/$run/attempts" && mkdir ".$attempt.$nonce" &&
		cd ".$attempt.$nonce"; }; then
		refuse disk "cannot make folders in $runs"
	fi
	withdraw_if_discarded
	# shellcheck disable=SC2086 # two numbers each
	if ! { receive config $config && { [ -z "$schema" ] || receive schema $schema; } &&
		{ [ -z "$instructions" ] || receive instructions $instructions; } && receive prompt $prompt &&
		receive records $records && IFS= read -r line && [ "$line" = ".$nonce" ]; }; then
		abandon torn "the request ended early"
	fi
	received
	# shellcheck disable=SC2154 # script: this very text, set by the command that started it
	if ! {
		printf '%s\n' "$nonce $run $attempt $timeout $orphan $retention $tick" "$cwd_line" >request &&
			printf '%s' "$args" >args && printf '%s\n' "$script" >supervisor.sh &&
			printf '%1024s\n' '' >stop.room && printf '%1024s\n' '' >exit.room
	}; then
		abandon disk "no room, or no right to write, in $runs"
	fi
	decode "${args%%"$NL"*}"
	[ -x "$decoded" ] || abandon codex "$decoded is not an executable file"
	decode "$cwd_line"
	if ! { [ -d "$decoded" ] && [ -x "$decoded" ]; }; then
		abandon cwd "$decoded is not a directory that can be entered"
	fi

	[ -z "$claim" ] || take_claim - || abandon taken "$taken"
	if [ -e "../$attempt" ]; then
		if [ -s "../$attempt/codex.pid" ] || held "../$attempt"; then
			rm -rf "../.$attempt.$nonce"
			say joined
			return
		fi
		if elsewhere "../$attempt"; then
			abandon foreign "attempt $attempt was begun on another host, $at_node, which shares this home directory"
		fi
		for other in ../[0-9]*; do
			if [ "${other#../}" -gt "$attempt" ]; then abandon never-started "a later attempt of this run is there"; fi
		done
		# Its supervisor died before it ran codex. Only one front may move the attempt away: a second one would move the
		# attempt that the first has put in its place.
		mkdir "../.$attempt.dead.$sup.$sup_born" 2>/dev/null || abandon never-started "another start is replacing it"
		mv "../$attempt" "../.$attempt.never-started.$nonce" 2>/dev/null
	fi
	for other in ../[0-9]*; do
		if [ "$other" = "../$attempt" ] || [ -e "$other/exit" ]; then continue; fi
		if held "$other"; then abandon busy "attempt ${other#../} of this run is still going"; fi
		if elsewhere "$other"; then
			abandon foreign "attempt ${other#../} of this run may still be going on $at_node, which shares this home directory"
		fi
	done
	# The answer goes through a command substitution, which ends when the supervisor closes its stdout.
	answer=$(emit "$environment." | { reaping 2 sh ./supervisor.sh <&3 2>>supervisor.log 3<&- & } 3<&0)
	case $answer in
	*"$nonce "*) printf '%s\n' "$answer" ;; # perhaps behind output of its shell's start-up file
	*)
		has_room || abandon disk "no room, or no right to write, in $runs"
		line=$(tail -c 300 supervisor.log 2>/dev/null | tr '\n' ' ')
		refuse never-started "the supervisor did not start: $line"
		;;
	esac
}

withdraw_if_discarded() { # removes our folder again if the run was discarded meanwhile
	if is_discarded "$run"; then
		remove_run_again "$run"
		unless_discarded
	fi
}

abandon() { # WORD MESSAGE: refuses, and removes the staging directory
	rm -rf "../.$attempt.$nonce"
	refuse "$@"
}
