# shellcheck shell=sh
# New commits since the snapshot, and whether the earlier commits still exist. From a repository that the agent may have
# written to, the script reads only refs, reflogs and objects: its settings could name a program.

MOST=1000

# shellcheck disable=SC2016 # awk's own variables
TIPS='
{
	sub(/^\^/, "", $1)
	for (n = 1; n <= 2; n++) {
		id = tolower($n)
		if (id ~ /^[0-9a-f]+$/ && (length(id) == 40 || length(id) == 64) && id !~ /^0+$/) print id
	}
}
'

borrowing() { # DIR COMMAND...: git in our repository, with the objects of the repository at hand
	_at=$1
	shift
	whole cat "$_at/common" || return 1
	(
		# git parses a quoted path here as a C string.
		# shellcheck disable=SC2089
		GIT_ALTERNATE_OBJECT_DIRECTORIES=\"$(printf '%s' "$REPLY/objects" | sed 's/[\\"]/\\&/g')\"
		# shellcheck disable=SC2090
		export GIT_ALTERNATE_OBJECT_DIRECTORIES
		ours "$_at" "$@"
	)
}

tips() { # GITDIR COMMON: lists every commit that a ref or a reflog names, in any worktree
	if [ -d "$2/reftable" ]; then
		git --git-dir="$1" rev-list --no-walk --all --reflog | sort -u
		return
	fi
	for place in "$1" "$2"; do
		(
			cd "$place" || exit
			set --
			for name in HEAD ORIG_HEAD FETCH_HEAD MERGE_HEAD packed-refs refs logs worktrees; do
				[ -e "$name" ] && set -- "$@" "$name"
			done
			[ $# -gt 0 ] || exit 0
			# A link counts as its target. A fifo is skipped: it would block its reader.
			# shellcheck disable=SC2016
			find "$@" ! -type d \( ! -path 'worktrees/*' -o -name HEAD -o -path '*/logs/*' -o -path '*/refs/*' \) \
				-exec sh -c 'n=$#
					while [ "$n" -gt 0 ]; do f=$1; shift; n=$((n - 1)); [ -f "$f" ] && set -- "$@" "$f"; done
					[ $# = 0 ] || exec awk "$0" "$@"' "$TIPS" {} +
		) || return 1
		if [ "$1" = "$2" ]; then break; fi
	done >"$scratch/tips" || return 1
	sort -u "$scratch/tips"
}

head_of() { # GITDIR COMMON: prints the commit that HEAD names now, nothing if there is none
	[ -d "$2/reftable" ] && git --git-dir="$1" rev-parse -q --verify HEAD
	name=HEAD
	for _ in 1 2 3 4 5; do
		place=$1/$name
		[ -f "$place" ] || place=$2/$name
		if [ -f "$place" ]; then
			value=$(head -n 1 "$place")
		else
			value=$(ordinary "$2/packed-refs" | while read -r id ref; do [ "$ref" = "$name" ] && echo "$id"; done)
		fi
		case $value in
		"ref: "*) name=${value#ref: } ;;
		*)
			printf '%s' "$value" | sed -n '/^[0-9a-fA-F]\{40,64\}$/p' | tr A-F a-f
			return
			;;
		esac
	done
}

stored() { # COMMON: lists the files of its objects
	(cd "$1/objects" && find . -type f \( -name '*.pack' -o -path './[0-9a-f][0-9a-f]/*' \)) | sort
}

remember() { # DIR GITDIR COMMON: records the commits and objects before the agent
	tips "$2" "$3" >"$1/tips" || return 1
	stored "$3" >"$1/objects" || return 1
	ordinary "$3/objects/info/alternates" >"$1/alternates"
	if [ -f "$3/shallow" ]; then cat "$3/shallow" >"$1/git/shallow"; fi
	# A partial clone lacks objects from the beginning: the agent has not removed them.
	git config --get-regexp '^(remote\..*\.promisor|extensions\.partialclone)$' >"$1/partial" || :
}

lost() { # DIR COMMON: true if objects are missing that were reachable
	stored "$2" >"$1/now/objects" || return 0
	if [ -s "$1/head" ]; then borrowing "$1" cat-file -e "$(cat "$1/head")^{tree}" || return 0; fi
	[ -n "$(comm -23 "$1/objects" "$1/now/objects")" ] || return 1
	borrowing "$1" cat-file --batch-check='%(objectname)' <"$1/tips" | grep -v ' ' >"$1/list"
	cat "$1/head" >>"$1/list"
	objects=--objects
	[ -s "$1/partial" ] && objects=
	! borrowing "$1" rev-list --quiet --stdin ${objects:+"$objects"} <"$1/list"
}

commits() { # DIR GITDIR COMMON: lists the commits that have become reachable, with their first parents, or `many`
	: >"$1/commits"
	tips "$2" "$3" >"$1/now/tips" || return 1
	comm -13 "$1/tips" "$1/now/tips" >"$1/new"
	[ -s "$1/new" ] || return 0
	borrowing "$1" cat-file --batch-check='%(objectname) %(objecttype)' <"$1/new" >"$1/list" || return 1
	grep -q ' missing$' "$1/list" && return 1
	{
		sed -n -e 's/ commit$//p' -e 's/ tag$//p' "$1/list"
		sed 's/^/^/' "$1/tips"
	} | borrowing "$1" rev-list --stdin --ignore-missing --parents --max-count="$((MOST + 1))" >"$1/new" || return 1
	cut -d ' ' -f 1,2 "$1/new" >"$1/commits"
}

committed() { # DIR OPTION...: the diff of each of these commits against its first parent
	_from=$1
	shift
	borrowing "$_from" diff-tree --stdin --root -r -M --text --no-ext-diff --no-textconv --no-color --full-index \
		--ignore-submodules=none "$@" <"$_from/commits"
}
