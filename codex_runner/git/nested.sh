# shellcheck shell=sh
# Nested repositories and pointers to repositories below the top, special files, and folders that cannot be read.

look() { # DIR INTO COMMON: walks over the whole tree around the current directory once, with ignored folders
	_dir=$1 _into=$2 _common=$3
	rm -rf "$_into"
	mkdir -p "$_into" || return 1
	walk "$_dir" "$_into" || [ -s "$_into/shut" ] || walk "$_dir" "$_into" || [ -s "$_into/shut" ] ||
		echo './/./.' >"$_into/shut" # a file disappeared during the walk; if that happens twice, report it
	ignore_rules "$_dir" "$_common" <"$_into/said" >"$_into/rules" || return 1
	attribute_rules "$_dir" "$_common" <"$_into/said" >"$_into/attributes" || return 1
	: >"$_into/repos"
	: >"$_into/special"
	: >"$_into/unseen"
	: >"$_into/peril"
	[ "$_dir" = "$scratch/0" ] || return 0 # the walk of the first repository has covered the others
	each_path found <"$_into/found"
	each_path shut <"$_into/shut"
	each_path linked <"$_into/links"
	for list in repos special unseen peril; do sort -u -o "$_into/$list" "$_into/$list" || return 1; done
}

walk() { # DIR INTO: lists files of rules, and paths to inspect
	_into=$2
	_unwalked=$1/unwalked
	set -- .//.
	[ -d .git/modules ] && set -- "$@" .//./.git/modules
	while IFS= read -r skip; do set -- "$@" -path "$skip" -prune -o; done <"$_unwalked"
	# find starts other shells for many paths at once. awk gets only readable files of rules. Only the beginning of a path
	# has two slashes, so a newline within a name is no separator. No -exec is in parentheses: busybox would skip it.
	# shellcheck disable=SC2016,SC2146
	find "$@" -path './/./.git' -prune -o -type d -name objects -path '*/.[gG][iI][tT]/*' -prune -o \
		-type d ! -name '.[gG][iI][tT]' \
		-exec sh -c 'for d do [ -r "$d" ] && [ -x "$d" ] || printf "%s\n" "$d"; done >&7' sh {} + -o \
		-type f \( -name .gitignore -o -name .gitattributes \) \
		-exec sh -c 'n=$#
			while [ "$n" -gt 0 ]; do f=$1; shift; n=$((n - 1)); [ -r "$f" ] && set -- "$@" "$f"; done
			[ $# = 0 ] || exec awk "$0" "$@" >&8' "$RULES" {} + -o \
		-type l -exec sh -c 'cd -P . && top=$PWD || exit
			for link do
				if ! { [ -d "$link" ] && cd -P "$link"; }; then continue; fi
				at=$PWD
				cd "$top" || exit
				case $at/ in "$top"/*) continue ;; esac
				while [ -n "$at" ]; do
					if [ -d "$at/objects" ] && [ -d "$at/refs" ] || [ -e "$at/.git/HEAD" ] || [ -f "$at/.git" ] ||
						[ -e "$at/commondir" ]; then
						printf "%s\n" "$link"
						break
					fi
					at=${at%/*}
				done
			done >&6' sh {} + ! -type l -o \
		-name '.[gG][iI][tT]' -print -o ! -type d -name HEAD -print -o -type l -name '.git*' -print -o \
		! -type f ! -type l ! -type d -print \
		>"$_into/found" 6>"$_into/links" 7>"$_into/shut" 8>"$_into/said" 2>/dev/null
}

each_path() { # COMMAND...: with each path on stdin, line breaks and all
	_path=
	while IFS= read -r _line; do
		case $_line in
		.//*)
			[ -z "$_path" ] || "$@" "${_path#.//./}" </dev/null
			_path=$_line
			;;
		*) _path=$_path$nl$_line ;;
		esac
	done
	[ -z "$_path" ] || "$@" "${_path#.//./}" </dev/null
}

quoted() { # TEXT: on one line, as git quotes names
	case $1 in
	*"$nl"* | \"*) printf '"%s"\n' "$(printf '%s\n' "$1" | sed 's/[\\"]/\\&/g' | sed -e ':a' -e '$!{N' -e 'ba' -e '}' -e 's/\n/\\n/g')" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

shut() { # PATH: a folder that this user cannot read, or whose path is too long for a system call
	case ${#1} in
	[0-9] | [0-9][0-9] | [0-9][0-9][0-9]) quoted "$1" ;;
	*) quoted "$(printf '%s' "$1" | head -c 300)..." ;;
	esac >>"$_into/unseen"
}

found() { # PATH: classifies a path that the walk has found
	_name=${1##*/}
	if halts "$1"; then
		# git opens a file of this name without a check of its type.
		case /$1 in */.git* | */.mailmap | */.[gG][iI][tT]/* | */HEAD) quoted "$1" >>"$_into/peril" ;; esac
	fi
	if ! [ -h "$1" ] && ! [ -f "$1" ] && ! [ -d "$1" ]; then
		quoted "$1" >>"$_into/special"
		return
	fi
	case $_name in
	.[gG][iI][tT])
		if [ -h "$1" ] || [ -f "$1" ]; then
			pointer "$1"
		elif [ -n "$(ls -A "./$1" 2>/dev/null)" ] || ! [ -r "$1" ]; then
			repository "$1" "$1"
		fi
		;;
	HEAD) # of a repository without a `.git`
		_folder=${1%/HEAD}
		[ "$_folder" != "$1" ] || return 0
		case ${_folder##*/} in .[gG][iI][tT]) return 0 ;; esac
		if [ -d "$_folder/objects" ] && [ -d "$_folder/refs" ] || [ -e "$_folder/commondir" ]; then
			repository "$_folder" "$_folder"
		fi
		;;
	esac
}

linked() { # PATH: a link to a folder of another repository: git searches around the target
	_leads=$1/.git
	if ! [ -e "$_leads" ] && [ -e "$1/HEAD" ]; then _leads=$1; fi
	repository "$1" "$_leads"
}

halts() { # PATH: true if opening it may block for ever: a fifo, a device, or a link to one
	[ -p "$1" ] || [ -b "$1" ] || [ -c "$1" ]
}

halting() { # GITDIR: true if git would open such a file when it discovers this repository
	for _each in HEAD commondir gitdir config config.worktree packed-refs; do
		halts "$1/$_each" && return 0
	done
	[ -n "$(find "$1/refs/" ! -type f ! -type d ! -type l -print 2>/dev/null)" ]
}

pointer() { # PATH: a `.git` that is a file or a link
	_leads=$1
	if ! [ -h "$1" ]; then
		_leads=$(head -c 4096 "./$1" | sed -n '1s/^gitdir: *//p')
		case $_leads in
		/*) ;;
		*) case $1 in */*) _leads=${1%/*}/$_leads ;; esac ;;
		esac
	fi
	repository "$1" "$_leads"
}

repository() { # PATH GITDIR: prints a line that changes with each file in it that makes git run or believe something
	case $2 in /*) _place=$2 ;; *) _place=$(pwd -P)/$2 ;; esac
	if halting "$_place"; then quoted "$1" >>"$_into/peril"; fi
	_digest=$(
		if [ -h "$1" ] || [ -f "$1" ]; then printf '%s\n' "$1" | noted repo "$_dir"; fi
		[ -e "$_place/HEAD" ] && echo HEAD
		cd "$_place" 2>/dev/null && decisive | sort | noted repo "$_dir"
	)
	printf '%s repo - %s\n' "$(printf '%s\n' "$_digest" | ours "$_dir" hash-object --stdin)" "$(quoted "$1")" >>"$_into/repos"
}

decisive() { # lists files of the current directory, a git folder, that make git run or believe something
	set --
	for name in config config.worktree commondir gitdir hooks info objects/info/alternates; do
		[ -e "$name" ] || [ -h "$name" ] && set -- "$@" "$name"
	done
	[ $# -gt 0 ] && find "$@" ! -type d ! -path info/refs
	return 0
}

# --- codex's own mount points ----------------------------------------------------------------------------------------

unmount() { # removes the mount points that exist by now and are empty
	whole cat "$scratch/0/cwd"
	(cd "$REPLY" && unused - <"$scratch/0/mounts" | remove_empty) 2>/dev/null
	return 0
}
