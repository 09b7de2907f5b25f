# Finds what a repository would tell codex, before codex starts: instructions, skills, a configuration of its own.
#
# Functions only, behind guard.sh; the preflight (preflight.py) calls `survey`. They print lines `KEY VALUE`, in which
# backslashes and line breaks are escaped (`told`):
#
#   at, root     the folder, and the top of the repository around it, as the kernel names them
#   project      an entry of a `.codex` folder from the top to the folder, but for its skills
#   skill        a SKILL.md that codex would find in the repository
#   skills       a folder of skills to hand to codex: `folder PATH`, or `tree HASH PATH` of the base commit
#   unlisted     a file of instructions that leads out of the repository, or cannot be read; `unlisted-skills`: a folder
#   base         the commit that a proposal is held against; `no-base` says why there is none
#   document     a file of instructions, from the top to the folder; `bytes` has its size, `hex` its first bytes

told() { # KEY VALUE
	case $2 in
	*\\* | *"$nl"*)
		# Behind a dot, since line breaks at the end would be lost.
		escaped=$(printf '%s.' "$2" | sed 's/\\/\\\\/g' | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')
		printf '%s %s\n' "$1" "${escaped%.}"
		;;
	*) printf '%s %s\n' "$1" "$2" ;;
	esac
}

folder_of() { # PATH: the folder as the kernel names it, into $REPLY
	REPLY=$(cd -P "$1" 2>/dev/null && pwd && echo .) || return 1
	REPLY=${REPLY%"$nl".}
}

file_of() { # PATH: the file that it leads to over symbolic links, into $REPLY
	at_link=$1 hops=0
	while [ -h "$at_link" ]; do
		hops=$((hops + 1))
		[ "$hops" -le 16 ] || return 1
		leads=$(readlink "$at_link" && echo .) || return 1
		leads=${leads%"$nl".}
		case $leads in
		/*) at_link=$leads ;;
		*) at_link=${at_link%/*}/$leads ;;
		esac
	done
	folder_of "${at_link%/*}/" || return 1
	REPLY=${REPLY%/}/${at_link##*/}
}

inside() { # REAL PATH: does it lie in the repository?
	case $1/ in "${root%/}"/*) return 0 ;; *) return 1 ;; esac
}

find_top() { # REAL FOLDER: the top of the repository around it into $root, of the outermost into $outer; itself if none
	root='' outer=$1 up=$1
	while :; do
		# An empty `.git` is no repository: codex's sandbox leaves such behind when it is killed, in /tmp for one.
		if [ -f "${up%/}/.git" ] || [ -e "${up%/}/.git/HEAD" ] || [ -h "${up%/}/.git/HEAD" ]; then
			root=${root:-$up} outer=$up
		fi
		case $up in
		/) break ;;
		*) up=${up%/*} ;;
		esac
		up=${up:-/}
	done
	root=${root:-$1}
}

plain_git() { # git that reads objects, and runs nothing that a repository names
	(
		unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES \
			GIT_COMMON_DIR GIT_NAMESPACE GIT_CONFIG_PARAMETERS
		export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1
		guard_git
		exec git -C "$root" "$@"
	)
}

object() { # PATH TYPE: `HASH TYPE SIZE` of what lies there in the base commit, over links within it, into $REPLY
	case $1 in *"$nl"*) return 1 ;; esac
	REPLY=$(printf '%s\n' "$commit:$1" | plain_git cat-file --batch-check --follow-symlinks 2>/dev/null)
	case ${REPLY%% *} in '' | *[!0-9a-f]*) return 1 ;; esac
	case ${REPLY#* } in "$2 "[0-9]*) ;; *) return 1 ;; esac
}

hand_over() { # PATH SIZE; stdin: the file
	told document "$1"
	echo "bytes $2"
	printf 'hex '
	[ "$limit" = 0 ] || head -c "$limit" | od -An -v -tx1 | tr -d ' \n'
	echo
	limit=$((limit > $2 ? limit - $2 : 0))
}

list_skills() { # REAL FOLDER DEPTH: all that codex would find in it
	# Honest folders have few links, and each link may lead to a folder with more.
	if [ "$2" -gt 1 ] || [ "$(find "$1" -type l | head -n 51 | wc -l)" -gt 50 ] || [ "${1#*"$nl"}" != "$1" ] || [ -n "$(find "$1" -name "*$nl*" -print | head -n 1)" ]; then
		told unlisted-skills "$1"
		return
	fi
	find "$1" -name SKILL.md ! -type d | while IFS= read -r skill; do
		told skill "$skill"
		if [ -h "$skill" ] && file_of "$skill"; then told skill "$REPLY"; fi
	done
	find "$1" -type l | while IFS= read -r link; do
		if [ -d "$link" ] && folder_of "$link"; then
			if inside "$REPLY"; then list_skills "$REPLY" $(($2 + 1)); else told unlisted-skills "$link"; fi
		fi
	done
}

skills_at() { # FOLDER
	for place in .agents/skills .codex/skills; do
		if [ -d "$1/$place" ] && folder_of "$1/$place"; then
			if inside "$REPLY"; then
				list_skills "$REPLY" 0
				[ "$mode" != workspace ] || told skills "folder $1/$place"
			else
				told unlisted-skills "$1/$place"
			fi
		fi
		if [ "$mode" = base ] && object "$within$place" tree; then told skills "tree ${REPLY%% *} $1/$place"; fi
	done
}

document_at() { # FOLDER: the first of the names that is there, as codex chooses
	IFS=$nl
	set -f
	for name in $names; do
		unset IFS
		set +f
		if [ "$mode" = base ]; then
			if ! object "$within$name" blob; then
				# A partial clone has the name, and not the file.
				[ -z "$(plain_git ls-tree "$commit" -- "$within$name" 2>/dev/null)" ] || told unlisted "$1/$name"
				continue
			fi
			hash=${REPLY%% *}
			plain_git cat-file blob "$hash" 2>/dev/null | hand_over "$1/$name" "${REPLY##* }"
			limit=$((limit > ${REPLY##* } ? limit - ${REPLY##* } : 0)) # hand_over has changed it in a subshell only
			return
		fi
		# No pipe and no device: opening one may block for ever.
		[ -f "$1/$name" ] || continue
		if file_of "$1/$name" && inside "$REPLY" && [ -r "$REPLY" ]; then
			hand_over "$1/$name" "$(($(wc -c <"$REPLY")))" <"$REPLY"
		else
			told unlisted "$1/$name"
		fi
		return
	done
	unset IFS
	set +f
}

look_at() { # FOLDER: what it has for codex
	within=${1#"$root"}
	within=${within#/}
	within=$within${within:+/}
	for entry in "${1%/}/.codex"/* "${1%/}/.codex"/.[!.]*; do
		case $entry in */.codex/skills) continue ;; esac
		if [ -e "$entry" ] || [ -h "$entry" ]; then told project "$entry"; fi
	done
	skills_at "${1%/}"
	case $mode in base | workspace) document_at "${1%/}" ;; esac
}

from_top() { # FOLDER: looks at each folder from the top of the repository down to this one
	if [ "$1" != "$root" ] && [ "$1" != / ]; then
		up=${1%/*}
		from_top "${up:-/}"
	fi
	look_at "$1"
}

find_base() { # into $commit, from the first of the places in $bases that has it
	commit=''
	# In a nested repository, such as a submodule, trust no name: the proposal may have changed its address. Only a
	# commit's id is certain.
	[ "$outer" = "$root" ] || bases=$(printf '%s' "$bases" | grep '^commit ')
	IFS=$nl
	set -f
	for line in $bases; do
		unset IFS
		set +f
		case $line in
		"commit "* | "ref "*) revision=${line#* } ;;
		"fork-point "*) revision=$(plain_git merge-base HEAD "${line#* }" 2>/dev/null) || continue ;;
		"merge-parent "*)
			# The second parent of the CI system's own merge is the proposal's head, which the system names. If the head
			# itself is a merge, that is not so.
			[ "$(plain_git rev-parse -q --verify 'HEAD^2^{commit}' 2>/dev/null)" = "${line#* }" ] || continue
			revision='HEAD^1'
			;;
		*) continue ;;
		esac
		# Its tree may be missing from a partial clone.
		commit=$(plain_git rev-parse -q --verify "$revision^{commit}" 2>/dev/null) &&
			plain_git cat-file -e "$commit^{tree}" 2>/dev/null && return
	done
	unset IFS
	set +f
	commit=''
	return 1
}

survey() { # FOLDER WANTED: a line each of `mode M`, `limit BYTES`, `name FILE`, `base PLACE`
	nl='
'
	mode=none limit=0 names='' bases=''
	while IFS= read -r line; do
		case $line in
		"mode "*) mode=${line#* } ;;
		"limit "*) limit=${line#* } ;;
		"name "*) names=$names${line#* }$nl ;;
		"base "*) bases=$bases${line#* }$nl ;;
		esac
	done <<-END
		$2
	END
	folder_of "$1" || return 0
	here=$REPLY
	find_top "$here"
	told at "$here"
	told root "$root"
	if [ "$mode" = base ]; then
		if find_base; then
			echo "base $commit"
		else
			mode=none
			told no-base "$(plain_git rev-parse --git-dir 2>&1 >/dev/null | tail -n 1)"
		fi
	fi
	from_top "$here"
	# codex also looks into the home.
	if [ -n "${HOME-}" ] && folder_of "$HOME/.agents/skills"; then
		case $REPLY/ in "${outer%/}"/*) list_skills "$REPLY" 0 ;; esac
	fi
}
