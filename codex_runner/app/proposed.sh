# Which of these files a pull or merge request has changed. survey.sh's functions come before this text.
#
# sh -c SCRIPT sh BASES FOLDER, with FILES in the environment. BASES are places of the base commit, one a line.
# Each of FILES, one a line, may be a path below FOLDER, in FOLDER's repository. Files that are neither there nor in the
# base commit are ignored. Prints `base COMMIT`, and `differs PATH` for each file that the base commit has in another
# form; prints `no-base REASON` if the base commit is missing.

nl='
'
tab=$(printf '\t')
# shellcheck disable=SC2153 # the environment's
bases=$1 folder=$2 files=$FILES
unset FILES

same_links() { # PATH below the top: is each link on the way to it, and itself if it is one, as in the base commit?
	rest=$1 so_far=''
	while [ -n "$rest" ]; do
		so_far=${so_far:+$so_far/}${rest%%/*}
		case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
		entry=$(plain_git ls-tree "$commit" -- "$so_far")
		if [ -h "${root%/}/$so_far" ]; then
			now=$(printf '%s' "$(readlink "${root%/}/$so_far")" | plain_git hash-object --stdin)
			case $entry in "120000 blob $now$tab"*) ;; *) return 1 ;; esac
		else
			case $entry in "120000 "*) return 1 ;; esac
		fi
	done
}

same_file() { # PATH below the top: does it lead to the same bytes?
	file_of "${root%/}/$1" && inside "$REPLY" && [ -f "$REPLY" ] && now=$(plain_git hash-object --no-filters -- "$REPLY") &&
		object "$1" blob && [ "${REPLY%% *}" = "$now" ]
}

folder_of "$folder" || exit 1
folder=$REPLY
find_top "$folder"
if find_base; then
	echo "base $commit"
	within=${folder#"${root%/}"}
	within=${within#/}
	# By a program that has them in its environment: the shell's printf may be a program with arguments for all to see.
	FILES=$files awk 'BEGIN { print ENVIRON["FILES"] }' | while IFS= read -r file; do
		path=${within:+$within/}$file
		[ -f "${root%/}/$path" ] || object "$path" blob || continue
		if ! { same_links "$path" && same_file "$path"; }; then told differs "$path"; fi
	done
else
	told no-base "$(plain_git rev-parse --git-dir 2>&1 >/dev/null | tail -n 1)"
fi
echo compared
