# shellcheck shell=sh
# What codex itself leaves: helpers that it starts for files, and empty mount points of its sandbox (points.sh).

helpers() { # TEXT, a part of their CODEX_HOME's path: codex's helpers for files, into $below
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

end_helpers() { # TEXT: ends them by KILL, since TERM does not end them
	helpers "$1"
	for pid in $below; do kill -KILL "$pid" 2>/dev/null; done
}

note_points() { # FOLDER RUN-DIRECTORY FOLDERS DENIED: notes those that are missing before a sandbox begins
	# FOLDERS are more folders in which codex makes points, DENIED the paths that it denies below writable folders. Both
	# are lists with a path a line.
	[ ! -e "$2/points" ] || return 0
	ln -sfn "$1" "$2/points.at"
	printf '%s\n' "$4" | while IFS= read -r one; do
		if [ -d "${one%/*}" ] && [ ! -s "$one" ] && [ ! -d "$one" ]; then printf '%s\n' "$one"; fi
	done >"$2/points.held"
	{
		(cd -P "$1" && pwd -P) && printf '%s\n' "$3"
		while IFS= read -r one; do printf '%s\n' "${one%/*}"; done <"$2/points.held" | sort -u
	} >"$2/points.in" 2>/dev/null
	{
		# shellcheck disable=SC2086 # names without spaces
		(cd "$1" && missing $POINTS)
		printf '%s\n' "$3" | while IFS= read -r one; do
			[ ! -d "$one" ] || missing "$one/.git" "$one/.agents" "$one/.codex" "$one/.aws"
		done
	} >"$2/points" 2>/dev/null
}

hold_points() { # RUN-DIRECTORY: makes the denied paths that are missing, as empty files, and notes them. Idempotent.
	# codex makes such a file for each command and removes it behind it. It does not count the sandboxes that found the
	# file there: their commands fail ("Can't bind mount"), or make it again and leave it. Leaves alone what existed before.
	[ -s "$1/points.held" ] || return 0
	while IFS= read -r point; do
		if [ -e "$point" ] || [ -h "$point" ]; then continue; fi
		# The agent may have put a link in the folder's place. A path that exists by now stays as it is.
		(cd -P "${point%/*}" && real=$(pwd -P) && [ "$real" = "${point%/*}" ] && set -C && : >"$point") 2>/dev/null &&
			printf '%s\n' "$point" >>"$1/points"
	done <"$1/points.held" 2>/dev/null
	return 0
}

remove_points() { # RUN-DIRECTORY: removes noted mount points that exist by now and are empty
	[ -s "$1/points" ] || return 0
	(
		exec 4<"$1/points"
		mine=$(cd -P "$1" && pwd -P) && cd -P "$1/points.at" && unused "$mine" <&4 | remove_empty
	) 2>/dev/null
	return 0
}
