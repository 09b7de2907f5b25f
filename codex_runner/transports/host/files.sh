# shellcheck shell=sh
# Files that a job left, read back over the connection. An agent named them: no link is followed, and nothing outside
# of the folder is read. And the other way round: a file that a run needs, brought into its directory.

take_files() { # the request: a folder, a limit in bytes, and one path (an offset before it) a line, into "$paths"
	cwd_line='' limit=0 paths=''
	while read_line && [ "$line" != ".$nonce" ]; do
		value=${line#* }
		case $line in
		"cwd "*) cwd_line=$value ;;
		"limit "*) limit=$value ;;
		"path "*) paths="$paths$value$NL" ;;
		*) refuse protocol "unknown line in the request" ;;
		esac
	done
	[ "$line" = ".$nonce" ] || refuse torn "the request ended early"
	received
	decode "$cwd_line"
	if ! { cd "$decoded" 2>/dev/null && root=$(pwd -P) && cd "$root"; }; then
		refuse cwd "$decoded is not a directory that can be entered"
	fi
	root=${root%/}
}

honest() { # PATH: true if it leads through folders only, and no links
	case /$1/ in */../* | *//*) return 1 ;; esac
	case $1 in */*) ;; *) return 0 ;; esac
	# Behind a dot, since a substitution loses the newlines that a name may end with.
	leads=$(cd -P "./${1%/*}" 2>/dev/null && pwd -P && echo .)
	[ "$leads" = "$root/${1%/*}$NL." ]
}

list() { # every file below these paths: `f` or, what is no regular file, `o` before its name. NUL ends each entry.
	# The entries of a path begin with `s` and end with `e` and find's status. A folder is a bare `d`, so that each path
	# has an entry: a find that forgets what it is to execute (busybox does so within brackets) cannot pass for an empty
	# folder.
	take_files
	# Files that runs keep here are not redacted: do not collect them.
	own=$(cd -P "$runs" 2>/dev/null && pwd -P)
	own=${own#"$root/"}
	say list
	IFS=$NL
	set -f
	for line in $paths; do
		unset IFS
		decode "${line#* }"
		if ! { honest "$decoded" && { [ -e "$decoded" ] || [ -L "$decoded" ]; }; }; then continue; fi
		printf 's\0'
		find "./$decoded" \( -path "./$own" -o -path "././$own" -o -path "./${own%/*}/discarded" -o \
			-path "././${own%/*}/discarded" \) -prune -exec printf 'd%.0s\0' {} + -o \
			-type d -exec printf 'd%.0s\0' {} + -o -type f -exec printf 'f%s\0' {} + -o -exec printf 'o%s\0' {} + 2>/dev/null
		printf 'e%s\0' $?
	done | head -c "$LISTING"
	printf '\0.%s\0' "$nonce"
}

fetch() { # each file: a line with its number, size and checksum, then its bytes from the offset on, so many exactly
	take_files
	say fetch
	IFS=$NL
	set -f
	number=0
	for line in $paths; do
		unset IFS
		decode "${line#* }"
		# A subshell: a file that cannot be opened ends it.
		(send "${line%% *}") 2>/dev/null || say skip "$number" "it cannot be read"
		number=$((number + 1))
	done
	say end
}

send() { # OFFSET: of the file $decoded
	if ! honest "$decoded"; then
		say skip "$number" "it lies behind a link; links are not followed"
		return
	fi
	if [ -L "$decoded" ] || [ ! -f "$decoded" ]; then
		say skip "$number" "it is not a regular file"
		return
	fi
	exec 3<"./$decoded" 4<"./$decoded"
	# Once more, of what was opened: it may have been swapped in between.
	if [ -e /proc/self/fd/3 ]; then
		opened=$(for one in 3 4; do readlink -n "/proc/self/fd/$one" && echo .; done)
		if [ "$opened" != "$root/$decoded.$NL$root/$decoded." ]; then
			say skip "$number" "it lies behind a link; links are not followed"
			return
		fi
	fi
	size=$(wc -c <"./$decoded")
	size=$((size))
	if [ "$size" -gt "$limit" ]; then
		say skip "$number" "large $size"
		return
	fi
	# shellcheck disable=SC2046 # two numbers: checksum and size
	set -- "$1" $(cksum <&3)
	[ "$1" -le "$3" ] || set -- "$3" "$2" "$3"
	say file "$number" "$3" "$2"
	# A file that shrinks meanwhile is filled up, and its checksum tells.
	{
		tail -c "+$(($1 + 1))" <&4
		cat /dev/zero
	} | head -c "$(($3 - $1))"
}

upload() { # one file into the run's directory: a line that says how much of it is here, then its bytes from there on
	IFS=' ' read -r size checksum || refuse torn "the request ended early"
	case $size$checksum in '' | *[!0-9]*) refuse protocol "bad size or checksum" ;; esac
	if ! { mkdir -p "$runs/$run" && cd "$runs/$run"; }; then refuse disk "cannot make folders in $runs"; fi
	withdraw_if_entombed
	part=.upload.$checksum.$size.$nonce
	true >"$part" || refuse disk "no room, or no right to write, in $runs"
	myself
	serving=$me serving_born=$born have=0
	growth &
	growing=$!
	for earlier in ".upload.$checksum.$size."*; do
		if [ "$earlier" = "$part" ]; then continue; fi
		# Copied: an earlier sender may still take its connection for alive, and write on. It must not succeed, so
		# a file that is gone meanwhile is no fault of the disk.
		if cp "$earlier" "$part" 2>/dev/null; then rm -f "$earlier"; elif [ -e "$earlier" ]; then spoiled; fi
	done
	have=$(wc -c 2>/dev/null <"$part")
	have=$((${have:-0}))
	say have "$have"
	head -c "$((size - have))" >>"$part" || spoiled
	end_loop "$growing"
	received
	proof=$(cksum 2>/dev/null <"$part")
	if [ "$proof" = "$checksum $size" ] && mv -f "$part" upload; then
		withdraw_if_entombed
		decoded=$(pwd -P)
		say whole "$decoded/upload"
		return
	fi
	# What was cut off is gone on with; what is as long as it should be, and wrong, is begun anew.
	case $proof in *" $size") rm -f "$part" ;; esac
	say damaged
}

growth() { # tells what waits for the request that the file grows, by a copy of what is here or by what comes
	exec </dev/null >/dev/null 2>&1
	looping
	grown=$have
	while nap 1 && alive "$serving" "$serving_born"; do
		size=$(wc -c <"$part")
		size=$((size))
		[ "$size" = "$grown" ] || moved
		grown=$size
	done
}

spoiled() { # what has come may be what fills the disk
	end_loop "$growing"
	rm -f "$part"
	refuse disk "no room, or no right to write, in $runs"
}
