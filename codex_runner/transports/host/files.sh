# shellcheck shell=sh
# Lists and sends files of a job's folder, and receives a file for the run's directory. An agent chose the names: these
# functions follow no link, and read nothing outside of the folder.

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

has_no_links() { # PATH: true if it leads through folders only, and no links
	case /$1/ in */../* | *//*) return 1 ;; esac
	case $1 in */*) ;; *) return 0 ;; esac
	# Behind a dot, since a substitution loses the newlines that a name may end with.
	leads=$(cd -P "./${1%/*}" 2>/dev/null && pwd -P && echo .)
	[ "$leads" = "$root/${1%/*}$NL." ]
}

list() { # the request: lists every file below these paths. An entry is `f` and a regular file's name, or `o` and
	# another file's; NUL ends it. The entries of a path begin with `s`, and end with `e` and find's status. A folder is a
	# bare `d`, so that each path has an entry. Otherwise a find that skips its -exec (busybox does so within parentheses)
	# would pass for an empty folder.
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
		if ! { has_no_links "$decoded" && { [ -e "$decoded" ] || [ -L "$decoded" ]; }; }; then continue; fi
		printf 's\0'
		find "./$decoded" \( -path "./$own" -o -path "././$own" -o -path "./${own%/*}/discarded" -o \
			-path "././${own%/*}/discarded" \) -prune -exec printf 'd%.0s\0' {} + -o \
			-type d -exec printf 'd%.0s\0' {} + -o -type f -exec printf 'f%s\0' {} + -o -exec printf 'o%s\0' {} + 2>/dev/null
		printf 'e%s\0' $?
	done | head -c "$LISTING"
	printf '\0.%s\0' "$nonce"
}

fetch() { # the request: for each file a line with its number, size and checksum, then exactly its bytes from the offset on
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

send() { # OFFSET: sends the file $decoded from there on
	if ! has_no_links "$decoded"; then
		say skip "$number" "it lies behind a link; links are not followed"
		return
	fi
	if [ -L "$decoded" ] || [ ! -f "$decoded" ]; then
		say skip "$number" "it is not a regular file"
		return
	fi
	exec 3<"./$decoded" 4<"./$decoded"
	# Check what was opened, too: the agent may have swapped the file in between.
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
	# If the file shrinks meanwhile, zeros fill it up, and the checksum shows it.
	{
		tail -c "+$(($1 + 1))" <&4
		cat /dev/zero
	} | head -c "$(($3 - $1))"
}

upload() { # the request: a file for the run's directory. Says how many of its bytes are here, then reads the others
	IFS=' ' read -r size checksum || refuse torn "the request ended early"
	case $size$checksum in '' | *[!0-9]*) refuse protocol "bad size or checksum" ;; esac
	if ! { mkdir -p "$runs/$run" && cd "$runs/$run"; }; then refuse disk "cannot make folders in $runs"; fi
	withdraw_if_discarded
	part=.upload.$checksum.$size.$nonce
	true >"$part" || refuse disk "no room, or no right to write, in $runs"
	find_own_process
	serving=$me serving_born=$born have=0
	watch_growth &
	growing=$!
	born "$growing"
	growing_born=$born
	for earlier in ".upload.$checksum.$size."*; do
		if [ "$earlier" = "$part" ]; then continue; fi
		# Copy it: the sender on an earlier connection may still be writing to it, and must not succeed. If the file has
		# gone meanwhile, the disk is not at fault.
		if cp "$earlier" "$part" 2>/dev/null; then rm -f "$earlier"; elif [ -e "$earlier" ]; then fail_upload; fi
	done
	have=$(wc -c 2>/dev/null <"$part")
	have=$((${have:-0}))
	say have "$have"
	head -c "$((size - have))" >>"$part" || fail_upload
	end_loop "$growing" "$growing_born"
	received
	proof=$(cksum 2>/dev/null <"$part")
	if [ "$proof" = "$checksum $size" ] && mv -f "$part" upload; then
		withdraw_if_discarded
		decoded=$(pwd -P)
		say whole "$decoded/upload"
		return
	fi
	# Keep a part: the next upload continues it. If the length is right and the checksum is not, begin anew.
	case $proof in *" $size") rm -f "$part" ;; esac
	say damaged
}

watch_growth() { # tells await_request that the file grows, by a copy of an earlier part or by bytes of the request
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

fail_upload() { # refuses, and removes the part: it may be what fills the disk
	end_loop "$growing" "$growing_born"
	rm -f "$part"
	refuse disk "no room, or no right to write, in $runs"
}
