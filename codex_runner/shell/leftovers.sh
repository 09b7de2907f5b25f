# shellcheck shell=sh
# What codex itself leaves: helpers that it starts for files, and empty mount points of its sandbox (points.sh).

helpers() { # TEXT: codex's helpers for files into $below, if TEXT, a part of their CODEX_HOME's path, is about them
	# They have no mark. The path is in the command line, or in the PATH that codex gives them. The quotes keep this from
	# finding each shell that has this script in its command line.
	below=
	[ -r /proc/self/cmdline ] || return 0
	holding --codex-run-as-fs"-helper" /proc/[0-9]*/cmdline
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
