# Compares a git working tree with a snapshot. git itself does it, and nothing writes to the repository.
#
# sh -c SCRIPT sh snapshot RUN [PATH...]   take a snapshot of the working tree around the current directory
# sh -c SCRIPT sh changes RUN SEAL         compare; works in any current directory
# sh -c SCRIPT sh patch RUN SEAL           the last comparison, as a patch
# sh -c SCRIPT sh commits RUN SEAL         the commits since the snapshot, a patch a commit, for searches
# sh -c SCRIPT sh deliver RUN SEAL         the last comparison, as what is delivered (delivered.sh)
# sh -c SCRIPT sh page RUN OFFSET SIZE     more of the last answer
#
# Each answers `ok SIZE CKSUM`, a newline and the first bytes of its answer, or `error CODE MESSAGE`.
#
# A snapshot is in runs/RUN/git of codex-runner's state, which a sandboxed agent cannot write. It has a folder for each
# repository: 0 for that of the current directory, then its submodules. In it are our own bare repository, `git`, with
# copies of the relevant settings, and an `index`. Afterwards, git reads its settings from these copies only. So an agent
# that changes .git/config can neither hide a file nor run a program here. The script never lets git open what may be no
# file. If the agent could have written to a repository, the script runs no git command by that repository's settings.
#
# This is the last part of the script; the other parts are in the same folder.
#
# Git's own names of files are C-quoted lines (core.quotePath), so that any name passes through a shell.

set -u
umask 077
verb=$1 run=$2
shift 2
PAGE=786432
scratch=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs/$run/git
nl='
'
tab=$(printf '\t')

export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR \
	GIT_NAMESPACE GIT_PREFIX GIT_EXTERNAL_DIFF GIT_DIFF_OPTS GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS \
	GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS GIT_ATTR_SOURCE GIT_DEFAULT_HASH GIT_CONFIG CDPATH
guard_git

fail() { # CODE MESSAGE
	printf 'error %s %s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ' | cut -c 1-2000)"
	exit 0
}

answer() { # FILE: prints its size, its checksum and its beginning
	mv -f "$1" "$scratch/answer" || fail failed "cannot write the answer to $scratch"
	sum=$(cksum <"$scratch/answer")
	printf 'ok %s %s\n' "${sum#* }" "${sum%% *}"
	head -c "$PAGE" "$scratch/answer"
}

whole() { # COMMAND...: its output in $REPLY, with all newlines but the last one
	REPLY=$("$@" 2>/dev/null && printf x) || return 1
	REPLY=${REPLY%x}
	REPLY=${REPLY%"$nl"}
}


ours() { # DIR COMMAND...: runs git in our bare repository, with the copied settings only
	_dir=$1
	shift
	(
		unset GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS
		GIT_DIR=$_dir/git GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
		export GIT_DIR GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM
		exec git "$@"
	)
}

tree() { # DIR COMMAND...: the same, over the working tree that is the current directory and our own index
	_dir=$1
	shift
	(
		GIT_WORK_TREE=$(pwd -P) GIT_INDEX_FILE=$_dir/work
		export GIT_WORK_TREE GIT_INDEX_FILE
		ours "$_dir" "$@"
	)
}

# --- before ----------------------------------------------------------------------------------------------------------

note() { # DIR PREFIX SKIP...: notes the repository whose top is the current directory
	dir=$1 prefix=$2
	shift 2
	mkdir -p "$dir" || return 1
	pwd -P >"$dir/top"
	printf '%s\n' "$prefix" >"$dir/prefix"
	whole git rev-parse --absolute-git-dir || return 1
	gitdir=$REPLY
	whole git rev-parse --git-common-dir || return 1
	common=$(cd "$REPLY" && pwd -P) || return 1
	printf '%s\n' "$gitdir" >"$dir/gitdir"
	printf '%s\n' "$common" >"$dir/common"
	git rev-parse -q --verify HEAD >"$dir/head" || :
	format=$(git rev-parse --show-object-format 2>/dev/null) || format=sha1
	GIT_DEFAULT_HASH=$format git -c init.defaultBranch=main init -q --bare --template= "$dir/git" || return 1
	mkdir "$dir/git/info" || return 1
	settings "$dir"
	: >"$dir/skipped"
	: >"$dir/unwalked"
	for skip; do # the runner's own folders, such as its output folder
		skip=$(cd "$skip" 2>/dev/null && pwd -P) || continue
		case $skip in
		"$(pwd -P)"/*)
			skip=${skip#"$(pwd -P)/"}
			printf '\n/%s\n' "$skip" | sed 's/[][*?\\ ]/\\&/g' >>"$dir/skipped"
			printf './/./%s\n' "$skip" | sed 's/[][*?\\]/\\&/g' >>"$dir/unwalked"
			;;
		esac
	done
	user_file core.excludesfile ignore
	printf '%s\n' "$REPLY" >"$dir/excludesfile"
	user_file core.attributesfile attributes
	printf '%s\n' "$REPLY" >"$dir/attributesfile"
	look "$dir" "$dir/before" "$common" || return 1
	[ -s "$dir/before/peril" ] && return 2
	cat "$dir/before/attributes" >"$dir/git/info/attributes" || return 1
	remember "$dir" "$gitdir" "$common" || return 1
	if [ -f "$gitdir/index" ]; then
		# Keep its time: git compares it to find files that were written in the same instant (racy git).
		cp -p "$gitdir/index" "$dir/work" || return 1
		for shared in "$gitdir"/sharedindex.*; do
			[ -f "$shared" ] && cp -p "$shared" "$dir/git/"
		done
	fi
	# Read the files, too, that git was told to ignore (assume-unchanged, skip-worktree).
	tree "$dir" ls-files -v >"$dir/list" || return 1
	sed -n 's/^[Ss] //p' "$dir/list" | tree "$dir" update-index --no-skip-worktree --stdin
	sed -n 's/^[a-z] //p' "$dir/list" | tree "$dir" update-index --no-assume-unchanged --stdin
	unfiltered "$dir"
	fill "$dir" || return 1
	printf '%s\n' "$REPLY" >"$dir/tree"
	cp "$dir/others" "$dir/before/others" || return 1
	tree "$dir" ls-files --stage | sed -n "s/^160000 [0-9a-f]* [0-9]$tab//p" >"$dir/links"
	left "$dir" | sort -u >"$dir/left"
	watched "$dir" "$gitdir" "$common" >"$dir/watched"
	if [ -f "$dir/work" ]; then mv "$dir/work" "$dir/index"; else : >"$dir/index"; fi
}

note_all() { # PREFIX SKIP...: takes the snapshot of the repository around the current directory, and of its submodules
	n=0
	while [ -d "$scratch/$n" ]; do n=$((n + 1)); done
	root=$scratch/$n at=$1
	note "$root" "$@" || return $?
	while IFS= read -r sub; do
		if [ -e "$sub/.git" ]; then
			(cd "./$sub" && note_all "$at$sub/" </dev/null) || return $?
		fi
	done <"$root/links"
}

seal() { # a hash of the whole snapshot
	n=0
	while [ -d "$scratch/$n" ]; do
		for name in top prefix gitdir common head tree links left watched git/config before/attributes git/shallow index \
			excludesfile attributesfile skipped unwalked tips objects partial alternates cwd mounts \
			before/rules before/repos before/special before/unseen before/others; do
			printf '%s\n' "$name"
			cat "$scratch/$n/$name" 2>/dev/null
		done
		n=$((n + 1))
	done | (cd "$scratch" && GIT_DIR=$scratch/0/git git hash-object --stdin)
}

snapshot() {
	command -v git >/dev/null 2>&1 || fail no-git "git is not installed on this host"
	said=$(git rev-parse --show-toplevel 2>&1) || fail no-repository "$said"
	whole git rev-parse --show-toplevel || fail no-repository "$said"
	here=$(pwd -P)
	if [ "$(pwd -P)" != "$REPLY" ] && git check-ignore -q -- "$(pwd -P)" 2>/dev/null && [ -z "$(git ls-files | head -n 1)" ]; then
		fail no-repository "the repository at $REPLY ignores this folder, so git sees no change in it"
	fi
	cd "$REPLY" || fail no-repository "$said"
	rm -rf "$scratch"
	tombstones=${scratch%/*/*/*}/discarded # other runs add files there when they end
	mkdir -p "$scratch" "$tombstones" || fail failed "cannot create $scratch"
	(note_all '' "${scratch%/*/*}" "$tombstones" "$@") 2>"$scratch/stderr"
	case $? in
	0) ;;
	2) fail special "$(head -n 1 "$scratch/0/before/peril") is no file and no folder, and git would open it" ;;
	*) fail failed "git: $(cat "$scratch/stderr")" ;;
	esac
	printf '%s\n' "$here" >"$scratch/0/cwd"
	# shellcheck disable=SC2086 # names without spaces
	(cd "$here" && missing $POINTS) >"$scratch/0/mounts"
	{
		printf 'seal\000%s\000' "$(seal)"
		printf 'top\000%s\000' "$(cat "$scratch/0/top")"
		printf 'head\000%s\000' "$(cat "$scratch/0/head")"
		printf 'tree\000%s\000' "$(cat "$scratch/0/tree")"
		printf 'committed\000%s\000' "$(cd "$(cat "$scratch/0/top")" && git rev-parse -q --verify 'HEAD^{tree}')"
		printf 'unwatched\000%s\000' "$(cat "$scratch"/*/links | grep '^"')"
	} >"$scratch/out"
	answer "$scratch/out"
}

# --- after -----------------------------------------------------------------------------------------------------------

compared() { # DIR COMMAND...: diffs between before and after, with the objects of the repository at hand
	_of=$1
	shift
	borrowing "$_of" diff-tree -r -M --no-ext-diff --no-textconv --no-color --full-index --ignore-submodules=none "$@" \
		"$(cat "$_of/tree")" "$(cat "$_of/after")"
}

counting() { # DIR COMMAND...: with attributes that make git count the lines of each file, even of a binary one
	_kept=$1
	shift
	echo '* diff' >>"$_kept/git/info/attributes" || return 1
	"$@"
	_code=$?
	cat "$_kept/before/attributes" >"$_kept/git/info/attributes" && return "$_code"
}

section() { # NAME FILE...
	printf '%s\000' "$1"
	shift
	for file; do
		cat "$file" || return 1
		printf '\000'
	done
}

links() { # DIR: prints the paths of new and changed symbolic links, and the text of each
	compared "$1" --raw --no-renames --diff-filter=d |
		sed -n "s/^:[0-7]* 120000 [0-9a-f]* \([0-9a-f]*\) [A-Z][0-9]*$tab/\1$tab/p" >"$1/list"
	[ -s "$1/list" ] || return 0
	printf 'links\000'
	cut -f 2- "$1/list"
	printf '\000'
	cut -f 1 "$1/list" | borrowing "$1" cat-file --batch || return 1
	printf '\000'
}

walked() { # DIR: prints the findings of the walk over the whole tree
	for name in repos special unseen; do section "$name" "$1/before/$name" "$1/now/$name" || return 1; done
	{
		cut -d ' ' -f 4- "$1/now/repos"
		cat "$1/now/special"
		sed -e 's|"$|/_"|' -e 's|[^"]$|&/_|' "$1/now/unseen"
	} | excluded "$1" "$1/before/rules" >"$1/list" || return 1
	section ignored "$1/list"
}

perilous() { # DIR GITDIR COMMON: whether git would open something that is no file; says what
	for place in "$2" "$3"; do
		find "$place/" ! -type f ! -type d ! -type l ! -type s | sed 's,^.*/.git/,.git/,' >>"$1/now/peril"
		[ "$2" = "$3" ] && break
	done
	# git also opens the targets of these links, in any folder.
	ordinary "$3/objects/info/alternates" | cmp -s - "$1/alternates" ||
		echo .git/objects/info/alternates >>"$1/now/peril"
	[ -s "$1/now/peril" ] || return 1
	section peril "$1/now/peril"
}

compare() { # DIR
	dir=$1
	whole cat "$dir/prefix" || return 1
	printf 'repo\000%s\000' "$REPLY"
	whole cat "$dir/gitdir" || return 1
	gitdir=$REPLY
	whole cat "$dir/common" || return 1
	common=$REPLY
	whole cat "$dir/top" || return 1
	if ! cd "$REPLY" || ! [ -e .git ] && [ "$gitdir" = "$REPLY/.git" ] || ! [ -d "$gitdir" ]; then
		printf 'gone\000'
		return 0
	fi
	cat "$dir/before/attributes" >"$dir/git/info/attributes" || return 1
	look "$dir" "$dir/now" "$common" || return 1
	if [ "$dir" = "$scratch/0" ]; then walked "$dir" || return 1; fi
	if perilous "$dir" "$gitdir" "$common"; then return 0; fi
	[ "$dir" = "$scratch/0" ] && printf 'head\000%s\000' "$(head_of "$gitdir" "$common")"
	printf 'watched\000'
	cat "$dir/watched"
	printf '\000'
	watched "$dir" "$gitdir" "$common"
	printf '\000'
	if lost "$dir" "$common" 2>/dev/null; then
		printf 'lost\000'
		return 0
	fi
	commits "$dir" "$gitdir" "$common" || return 1
	if [ "$(wc -l <"$dir/commits")" -gt "$MOST" ]; then
		printf 'many\000%s\000' "$MOST"
		: >"$dir/commits"
	elif [ -s "$dir/commits" ]; then
		printf 'commits\000'
		counting "$dir" committed "$dir" --raw --numstat -z || return 1
		printf 'end\000'
	fi
	rm -f "$dir/work" "$dir/work.lock"
	if [ -s "$dir/index" ]; then cp -p "$dir/index" "$dir/work" || return 1; fi
	fill "$dir" || return 1
	printf '%s\n' "$REPLY" >"$dir/after"
	compared "$dir" --raw --numstat -z >"$dir/diff" || return 1
	cat "$dir/diff"
	if tr '\000' '\n' <"$dir/diff" | grep -q "^-$tab-$tab"; then # git counts no lines of a file with a NUL byte
		counting "$dir" compared "$dir" --numstat -z || return 1
	fi
	links "$dir" || return 1
	left "$dir" | sort -u >"$dir/now/left"
	section left "$dir/left" "$dir/now/left"
	if ! cmp -s "$dir/before/rules" "$dir/now/rules"; then
		sort -u "$dir/before/others" "$dir/others" | excluded "$dir" "$dir/now/rules" >"$dir/list" || return 1
		section newly "$dir/list"
	fi
}

sealed() { # SEAL: fails if the snapshot has changed
	[ -d "$scratch/0" ] || fail tampered "$scratch is gone"
	[ "$(seal)" = "$1" ] || fail tampered "$scratch was changed"
}

changes() {
	sealed "$1"
	rm -f "$scratch"/*/after "$scratch"/*/commits
	unmount
	n=0
	: >"$scratch/out"
	while [ -d "$scratch/$n" ]; do
		(compare "$scratch/$n") >>"$scratch/out" 2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
		[ -s "$scratch/0/now/peril" ] && break
		n=$((n + 1))
	done
	answer "$scratch/out"
}

patches() { # SEAL FILE COMMAND OPTION...: the command's output for each repository that has this file
	sealed "$1"
	needed=$2
	shift 2
	n=0
	: >"$scratch/out"
	while [ -d "$scratch/$n" ]; do
		if [ -s "$scratch/$n/$needed" ]; then
			whole cat "$scratch/$n/prefix" || fail failed "$scratch/$n/prefix is missing"
			prefix=$REPLY
			command=$1
			shift
			"$command" "$scratch/$n" "$@" "--src-prefix=a/$prefix" "--dst-prefix=b/$prefix" >>"$scratch/out" \
				2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
			set -- "$command" "$@"
		fi
		n=$((n + 1))
	done
	answer "$scratch/out"
}

case $verb in
snapshot) snapshot "$@" ;;
changes) changes "$@" ;;
patch) patches "$1" after compared -p --binary ;;
commits) patches "$1" commits committed -p ;;
deliver) deliver "$@" ;;
page) tail -c "+$(($1 + 1))" "$scratch/answer" | head -c "$2" ;;
esac
