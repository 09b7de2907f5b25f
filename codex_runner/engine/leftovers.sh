# shellcheck shell=sh
# What codex itself leaves: helpers that it starts for files, and empty mount points of its sandbox (points.sh).

behind_nul=''

holding() { # TEXT FILE...: those files of /proc that hold the text, behind a NUL or not, into $holders
	sought=$1 holders=
	shift
	# grep -F of busybox reads a line to its first NUL, and no further.
	[ -n "$behind_nul" ] || behind_nul=$(printf 'a\0b' | grep -qF b && echo seen || echo unseen)
	if [ "$behind_nul" = seen ]; then
		holders=$(grep -lF -e "$sought" "$@" 2>/dev/null)
		return 0
	fi
	for candidate; do
		if { tr '\0' '\n' <"$candidate" | grep -qF -e "$sought"; } 2>/dev/null; then holders="$holders $candidate"; fi
	done
}

helpers() { # TEXT: codex's helpers for files into $below, if TEXT, a part of their CODEX_HOME's path, is about them
	# They have no mark. The path is in the command line, or in the PATH that codex gives them.
	below=
	[ -r /proc/self/cmdline ] || return 0
	holding --codex-run-as-fs-helper /proc/[0-9]*/cmdline
	for file in $holders; do
		file=${file%/cmdline}
		holding "$1" "$file/cmdline" "$file/environ"
		[ -z "$holders" ] || below="$below ${file#/proc/}"
	done
}

end_helpers() { # TEXT: as above. TERM does not end them
	helpers "$1"
	for pid in $below; do kill -KILL "$pid" 2>/dev/null; done
}

note_points() { # FOLDER RUN-DIRECTORY FOLDERS: which are not there, before a sandbox begins; by its path in FOLDERS, one a line
	[ ! -e "$2/points" ] || return 0
	ln -sfn "$1" "$2/points.at"
	{ (cd -P "$1" && pwd -P) && printf '%s\n' "$3"; } >"$2/points.in" 2>/dev/null
	{
		# shellcheck disable=SC2086 # names without spaces
		(cd "$1" && missing $POINTS)
		printf '%s\n' "$3" | while IFS= read -r one; do
			[ ! -d "$one" ] || missing "$one/.git" "$one/.agents" "$one/.codex" "$one/.aws"
		done
	} >"$2/points" 2>/dev/null
}

remove_points() { # RUN-DIRECTORY: those that were not there, and are there by now and empty
	[ -s "$1/points" ] || return 0
	(
		exec 4<"$1/points"
		mine=$(cd -P "$1" && pwd -P) && cd -P "$1/points.at" && unused "$mine" <&4 | remove_empty
	) 2>/dev/null
	return 0
}

unused() { # RUN-DIRECTORY; stdin: paths, those of this folder relative; lists those that no other run's sandbox may have mounted
	# To remove the mount point of another sandbox takes its mount away, or keeps it from starting: a command failed so.
	# The path goes to the list of that run, which removes it when it ends.
	place=$(pwd -P)
	sandboxes=$(living_sandboxes "$1")
	while IFS= read -r point; do
		case $point in /*) ;; *) point=$place/$point ;; esac
		user=$(printf '%s\n' "$sandboxes" | while IFS= read -r sandbox; do
			if [ -n "$sandbox" ] && grep -qxF -e "${point%/*}" "$sandbox/points.in"; then echo "$sandbox" && break; fi
		done)
		if [ -n "$user" ]; then printf '%s\n' "$point" >>"$user/points"; else printf '%s\n' "$point"; fi
	done
}

living_sandboxes() { # RUN-DIRECTORY: lists the directories of all other runs of this user whose codex is alive
	[ -r /proc/self/environ ] || return 0
	holding CODEX_HOME= /proc/[0-9]*/environ
	for file in $holders; do
		{ tr '\0' '\n' <"$file" | sed -n 's,^CODEX_HOME=\(/.*/runs/[^/]*\)/home$,\1,p'; } 2>/dev/null
	done | sort -u | while IFS= read -r sandbox; do [ "$sandbox" = "$1" ] || printf '%s\n' "$sandbox"; done
}
