# What changed in a git working tree between two moments, told by git itself and without a write to the repository.
#
# sh -c SCRIPT sh snapshot RUN [PATH...]   note the state of the working tree around the current directory
# sh -c SCRIPT sh changes RUN SEAL         compare; the current directory may be anything
# sh -c SCRIPT sh patch RUN SEAL           the last comparison, as a patch
# sh -c SCRIPT sh page RUN OFFSET SIZE     more of the last answer
#
# Each answers `ok SIZE CKSUM`, a newline and the first bytes of its answer, or `error CODE MESSAGE`.
#
# Everything lies in runs/RUN/git of codex-runner's state, where a sandboxed agent cannot write: for each repository (the
# one asked for is 0, submodules follow) a bare repository of our own, `git`, that has copies of the settings that matter,
# and an `index`. What git needs to know is read from these copies afterwards: an agent that changes .git/config can
# neither hide a file nor have a program run here.
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

fail() { # CODE MESSAGE
	printf 'error %s %s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ' | cut -c 1-2000)"
	exit 0
}

answer() { # FILE: says how much there is, and the beginning of it
	mv -f "$1" "$scratch/answer" || fail failed "no answer could be written to $scratch"
	sum=$(cksum <"$scratch/answer")
	printf 'ok %s %s\n' "${sum#* }" "${sum%% *}"
	head -c "$PAGE" "$scratch/answer"
}

whole() { # COMMAND...: its output in $REPLY, with all newlines but the last one
	REPLY=$("$@" 2>/dev/null && printf x) || return 1
	REPLY=${REPLY%x}
	REPLY=${REPLY%"$nl"}
}


ours() { # DIR COMMAND...: runs git in our bare repository, by nobody's settings but the copied ones
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

configured() { # PATTERN: a line KEY VALUE for each key of the repository at hand that matches, whatever the value holds
	git config -z --get-regexp "$1" | tr '\n\000' ' \n'
}

settings() { # DIR: copies what decides how files are read and which are ignored, and turns off what runs or skips
	configured '^core\.(excludesfile|attributesfile|autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|bigfilethreshold)$' |
		while IFS= read -r line; do
			value=${line#* }
			[ "$value" = "$line" ] && value=true
			git config --file "$1/git/config" "${line%% *}" "$value"
		done
	filters "$1"
	while read -r key value; do
		git config --file "$1/git/config" "$key" "$value"
	done <<-END
		core.hooksPath /dev/null
		core.fsmonitor false
		core.untrackedCache false
		core.splitIndex false
		core.trustctime true
		core.checkStat default
		core.quotePath true
		core.safecrlf false
		core.looseCompression 1
		core.fsync none
		index.sparse false
		gc.auto 0
	END
}

filters() { # DIR: copies the filters of git-lfs; the names of all others, which are not run, go to `raw`
	# An earlier job's agent may have written this configuration (a repository within the workspace is its to write), and
	# this one's may write the program that it names.
	: >"$1/raw"
	configured '^filter\..*\.(clean|process)$' |
		while IFS= read -r line; do
			key=${line%% *} value=${line#* }
			case $value in
			*[!A-Za-z0-9\ %-]*) ;;
			"git-lfs clean "* | "git-lfs filter-process"*)
				git config --file "$1/git/config" "$key" "$value"
				continue
				;;
			esac
			key=${key#filter.}
			printf '%s\n' "${key%.*}" >>"$1/raw"
		done
}

unfiltered() { # DIR: takes files whose filter is not run into the index as they are, lest a mere touch change them
	sort -u "$1/raw" | while IFS= read -r driver; do
		case $driver in *[!A-Za-z0-9_.-]*) continue ;; esac
		tree "$1" ls-files | tree "$1" check-attr --stdin filter | sed -n "s/: filter: $driver\$//p" >"$1/list"
		tree "$1" update-index --force-remove --stdin <"$1/list"
		take "$1" "$1/list"
	done
}

take() { # DIR LIST: brings the files of the list into the index; what cannot be read is left over, and told later
	[ -s "$2" ] || return 0
	tree "$1" update-index --add --remove --replace --stdin <"$2" && return 0
	while IFS= read -r name; do
		printf '%s\n' "$name" | tree "$1" update-index --add --remove --replace --stdin
	done <"$2"
	return 0
}

fill() { # DIR: makes `work` say what the working tree holds, and writes its tree, whose id goes to $REPLY
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty --diff-filter=D >"$1/list" || return 1
	tree "$1" update-index --force-remove --stdin <"$1/list" || return 1
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty >"$1/list" || return 1
	take "$1" "$1/list"
	tree "$1" ls-files --others --exclude-standard >"$1/others" || return 1
	# A name that ends in a slash is a repository inside this one; one without a commit cannot be taken in.
	grep -v '/"\{0,1\}$' "$1/others" >"$1/list"
	take "$1" "$1/list"
	sed -n 's|/\("\{0,1\}\)$|\1|p' "$1/others" >"$1/list" || return 1
	take "$1" "$1/list"
	REPLY=$(tree "$1" write-tree --missing-ok)
}

left() { # DIR: lists what git saw and could not read
	tree "$1" ls-files --others --exclude-standard
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty
}

noted() { # CLASS DIR: for each path on stdin, relative to here, a line CLASS x|- HASH PATH
	while IFS= read -r path; do
		mode=-
		[ -x "$path" ] && mode=x
		if [ -h "$path" ]; then
			hash="link:$(readlink "./$path" | ours "$2" hash-object --stdin)"
		elif [ -f "$path" ]; then
			hash=$(ours "$2" hash-object --no-filters -- "$(pwd)/$path" 2>/dev/null) || hash=unreadable
		else
			hash=special # to open a fifo would wait for ever
		fi
		printf '%s %s %s %s\n' "$1" "$mode" "$hash" "$path"
	done
}

watched() { # DIR GITDIR COMMON: what makes git run or believe something, and files where a submodule is not checked out
	[ -f .git ] && printf '.git\n' | noted top "$1"
	for place in "$2" "$3"; do
		(
			cd "$place" || exit
			set --
			for name in config config.worktree commondir gitdir hooks info objects/info/alternates; do
				[ -e "$name" ] || [ -h "$name" ] && set -- "$@" "$name"
			done
			[ $# -gt 0 ] && find "$@" ! -type d ! -path info/refs
		)
		[ "$2" = "$3" ] && break
	done | sort | (cd "$3" && noted git "$1")
	while IFS= read -r sub; do
		if [ -d "$sub" ] && ! [ -e "$sub/.git" ]; then find "./$sub" ! -type d | sed 's,^\./,,'; fi
	done <"$1/links" | sort | noted loose "$1"
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
	for name in exclude attributes; do
		[ -f "$common/info/$name" ] && cat "$common/info/$name" >"$dir/git/info/$name"
	done
	for skip; do # absolute paths of the runner's own, such as its output folder
		skip=$(cd "$skip" 2>/dev/null && pwd -P) || continue
		case $skip in
		"$(pwd -P)"/*)
			printf '\n%s\n' "${skip#"$(pwd -P)"}" | sed 's/[][*?\\ ]/\\&/g' >>"$dir/git/info/exclude"
			;;
		esac
	done
	if [ -f "$gitdir/index" ]; then
		# With its time: by it git knows which files were written in the same instant.
		cp -p "$gitdir/index" "$dir/work" || return 1
		for shared in "$gitdir"/sharedindex.*; do
			[ -f "$shared" ] && cp -p "$shared" "$dir/git/"
		done
	fi
	# Files that git was told not to look at are looked at.
	tree "$dir" ls-files -v >"$dir/list" || return 1
	sed -n 's/^[Ss] //p' "$dir/list" | tree "$dir" update-index --no-skip-worktree --stdin
	sed -n 's/^[a-z] //p' "$dir/list" | tree "$dir" update-index --no-assume-unchanged --stdin
	unfiltered "$dir"
	fill "$dir" || return 1
	printf '%s\n' "$REPLY" >"$dir/tree"
	tree "$dir" ls-files --stage | sed -n "s/^160000 [0-9a-f]* [0-9]$tab//p" >"$dir/links"
	left "$dir" | sort -u >"$dir/left"
	watched "$dir" "$gitdir" "$common" >"$dir/watched"
	if [ -f "$dir/work" ]; then mv "$dir/work" "$dir/index"; else : >"$dir/index"; fi
}

note_all() { # PREFIX SKIP...: notes the repository around the current directory, and its submodules
	n=0
	while [ -d "$scratch/$n" ]; do n=$((n + 1)); done
	root=$scratch/$n at=$1
	note "$root" "$@" || return 1
	while IFS= read -r sub; do
		if [ -e "$sub/.git" ]; then
			(cd "./$sub" && note_all "$at$sub/" </dev/null) || return 1
		fi
	done <"$root/links"
}

seal() { # of everything that a comparison starts from
	n=0
	while [ -d "$scratch/$n" ]; do
		for name in top prefix gitdir common head tree links left watched git/config git/info/exclude git/info/attributes index; do
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
	cd "$REPLY" || fail no-repository "$said"
	rm -rf "$scratch"
	mkdir -p "$scratch" || fail failed "$scratch cannot be made"
	note_all '' "${scratch%/*/*}" "$@" 2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
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
	_at=$1
	shift
	whole cat "$_at/common" || return 1
	(
		# Git reads a quoted path here as it reads C strings.
		# shellcheck disable=SC2089
		GIT_ALTERNATE_OBJECT_DIRECTORIES=\"$(printf '%s' "$REPLY/objects" | sed 's/[\\"]/\\&/g')\"
		# shellcheck disable=SC2090
		export GIT_ALTERNATE_OBJECT_DIRECTORIES
		ours "$_at" diff-tree -r -M --no-ext-diff --no-textconv --no-color --full-index --ignore-submodules=none "$@" \
			"$(cat "$_at/tree")" "$(cat "$_at/after")"
	)
}

compare() { # DIR
	dir=$1
	whole cat "$dir/prefix" || return 1
	printf 'repo\000%s\000' "$REPLY"
	rm -f "$dir/after"
	whole cat "$dir/gitdir" || return 1
	gitdir=$REPLY
	whole cat "$dir/common" || return 1
	common=$REPLY
	whole cat "$dir/top" || return 1
	if ! cd "$REPLY" || ! [ -e .git ] && [ "$gitdir" = "$REPLY/.git" ] || ! [ -d "$gitdir" ]; then
		printf 'gone\000'
		return 0
	fi
	[ "$dir" = "$scratch/0" ] && printf 'head\000%s\000' "$(git --git-dir="$gitdir" rev-parse -q --verify HEAD)"
	printf 'watched\000'
	cat "$dir/watched"
	printf '\000'
	watched "$dir" "$gitdir" "$common"
	printf '\000'
	rm -f "$dir/work" "$dir/work.lock"
	if [ -s "$dir/index" ]; then cp -p "$dir/index" "$dir/work" || return 1; fi
	fill "$dir" || return 1
	printf '%s\n' "$REPLY" >"$dir/after"
	compared "$dir" --raw --numstat -z || return 1
	printf 'left\000'
	cat "$dir/left"
	printf '\000'
	left "$dir" | sort -u
	printf '\000'
}

sealed() { # SEAL: or nothing that is here can be believed
	[ -d "$scratch/0" ] || fail tampered "$scratch is gone"
	[ "$(seal)" = "$1" ] || fail tampered "$scratch is not as it was left"
}

changes() {
	sealed "$1"
	n=0
	: >"$scratch/out"
	while [ -d "$scratch/$n" ]; do
		(compare "$scratch/$n") >>"$scratch/out" 2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
		n=$((n + 1))
	done
	answer "$scratch/out"
}

patch() {
	sealed "$1"
	n=0
	: >"$scratch/out"
	while [ -d "$scratch/$n" ]; do
		if [ -f "$scratch/$n/after" ]; then
			whole cat "$scratch/$n/prefix" || fail failed "$scratch/$n/prefix is missing"
			prefix=$REPLY
			compared "$scratch/$n" -p --binary "--src-prefix=a/$prefix" "--dst-prefix=b/$prefix" >>"$scratch/out" \
				2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
		fi
		n=$((n + 1))
	done
	answer "$scratch/out"
}

case $verb in
snapshot) snapshot "$@" ;;
changes) changes "$@" ;;
patch) patch "$@" ;;
page) tail -c "+$(($1 + 1))" "$scratch/answer" | head -c "$2" ;;
esac
