# Which codex gets no token: one that is too old or known to be bad, by the table of versions.py.
#
# Functions only; preflight.sh calls `is_refused`. preflight.py refuses such a codex by the same table, and says why. But it
# learns the version only when codex has answered all questions, so this script has to withhold the token.

numbers_of() { # VERSION: its three numbers into $major, $minor and $patch. False if it is no version
	major=${1%%.*} rest=${1#*.}
	minor=${rest%%.*} patch=${rest#*.}
	patch=${patch%%[!0-9]*}
	case $1 in *.*.*) ;; *) patch='' ;; esac
	case $major$minor in *[!0-9]*) patch='' ;; esac
	[ -n "$major" ] && [ -n "$minor" ] && [ -n "$patch" ]
}

is_older() { # VERSION VERSION: by their numbers alone
	numbers_of "$2" || return 1
	set -- "$1" "$major" "$minor" "$patch"
	numbers_of "$1" || return 1
	[ "$major" -eq "$2" ] || { [ "$major" -lt "$2" ]; return; }
	[ "$minor" -eq "$3" ] || { [ "$minor" -lt "$3" ]; return; }
	[ "$patch" -lt "$4" ]
}

is_refused() { # VERSION TABLE: lines `oldest VERSION` and `bad FIRST LAST`
	numbers_of "$1" || return 0
	while read -r word first last; do
		case $word in
		oldest) if is_older "$1" "$first"; then return 0; fi ;;
		bad) if ! is_older "$1" "$first" && ! is_older "$last" "$1"; then return 0; fi ;;
		esac
	done <<-END
		$2
	END
	return 1
}
