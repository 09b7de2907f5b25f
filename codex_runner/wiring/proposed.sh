# Which of these files a pull or merge request has changed. survey.sh's functions come before this text.
#
# sh -c SCRIPT sh BASES FILE...: BASES are places of the base commit, a line each. The first FILE's repository is meant.
# Prints `base COMMIT` and `differs PATH` for each file that the base commit has not, or has in another form; `no-base
# REASON` if there is no such commit. Files outside of the repository are nobody's to propose.

nl='
'
bases=$1
shift
file_of "$1" || exit 1
up=${REPLY%/*}
find_top "${up:-/}"
if find_base; then
	echo "base $commit"
	for file; do
		if ! { file_of "$file" && inside "$REPLY"; }; then continue; fi
		path=${REPLY#"${root%/}/"} now=$(plain_git hash-object --no-filters -- "$REPLY")
		if ! { object "$path" blob && [ "${REPLY%% *}" = "$now" ]; }; then told differs "$path"; fi
	done
else
	told no-base "$(plain_git rev-parse --git-dir 2>&1 >/dev/null | tail -n 1)"
fi
echo compared
