# A run's own working tree, made on the host that executes, and put back to where it was.
#
# sh -c SCRIPT sh haves MIRROR FORMAT                         the commits that the mirror has from earlier runs
# sh -c SCRIPT sh make RUN CWD FORMAT objects OBJECTS COMMIT  from a repository on this host, whose objects it uses
# sh -c SCRIPT sh make RUN CWD FORMAT bundle FILE COMMIT SHALLOW MIRROR   from a git bundle that was brought here
# sh -c SCRIPT sh make RUN CWD FORMAT clone URL REF MIRROR    from wherever this host can fetch it
# sh -c SCRIPT sh reset RUN COMMIT                            as it was at the beginning, whatever was done to it
#
# Each answers lines of KEY VALUE that end in `ok`, or `error CODE MESSAGE`. All of it may be done again: a connection
# may break behind any step, and the first time may still be going on while the second begins. So a workspace is made
# elsewhere and appears by one rename; git itself sees to it that what two write into a mirror does no harm.
#
# It is a repository of its own and no `git worktree`: what an agent does to its settings or branches stays with it, and
# it is gone with its folder. Objects that the mirror has are not copied (objects/info/alternates). So that none of them
# goes while a workspace needs it, each has a ref in its mirror, refs/runs/RUN, which goes some time after it.

set -u
umask 077
verb=$1
shift
state=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner
KEPT_REFS=20
NL='
'

export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_REPLACE_OBJECTS=1 GIT_LFS_SKIP_SMUDGE=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR \
	GIT_NAMESPACE GIT_PREFIX GIT_CONFIG GIT_ATTR_SOURCE GIT_DEFAULT_HASH CDPATH
guard_git # of git/guard.sh of the engine, which comes before this

fail() { # CODE [MESSAGE]: by default what was complained of
	if [ $# = 1 ]; then
		set -- "$1" "$(tail -c 1500 <&4)"
		# What is complained of lies on that disk, too.
		{ printf '%4096s' '' >"$state/room.$$"; } 2>/dev/null || set -- "$1" "no room left in $state: $2"
		rm -f "$state/room.$$"
	fi
	printf 'error %s %s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')" >&3
	exit 0
}

must() { "$@" || fail failed; }

appear() { # FROM TO: by one rename. Where TO is there by now, mv puts FROM into it: another one was first
	if mv "$1" "$2" && [ ! -e "$2/${1##*/}" ]; then return; fi
	rm -rf "$1" "${2:?}/${1##*/}"
}

g() { # ARGUMENT...: git, without what the user's settings might start or look into beside it
	git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c submodule.recurse=false -c gc.auto=0 \
		-c maintenance.auto=false -c advice.detachedHead=false "$@"
}

m() { g --git-dir="$mirror" "$@"; }

init() { # OPTION... FOLDER
	must g init -q --template= ${format:+"--object-format=$format"} "$@"
}

open_mirror() { # NAME: its folder into $mirror; made where it is not there
	mirror=$state/mirrors/$1
	if [ ! -d "$mirror" ]; then
		must mkdir -p "$state/mirrors"
		new_mirror=$(mktemp -d "$state/mirrors/.$1.XXXXXX") || fail failed
		init --bare "$new_mirror"
		# Objects without a ref may be a workspace's that is being made, or tags of one.
		must g --git-dir="$new_mirror" config gc.pruneExpire 3.months.ago
		appear "$new_mirror" "$mirror"
	fi
	touch "$mirror" # it is in use, which prune() of the supervisor looks at
}

tidy_mirror() { # lets go of what no workspace needs and no later run will, and lets git put the rest in order
	find "$mirror/objects" -name 'tmp_*' -type f -mmin +1440 -exec rm -f {} +
	m for-each-ref --sort=-refname --format='%(refname)' refs/runs | tail -n "+$((KEPT_REFS + 1))" |
		while read -r ref; do [ -e "$state/workspaces/${ref#refs/runs/}" ] || echo "delete $ref"; done |
		m update-ref --stdin
	git --git-dir="$mirror" -c gc.autoDetach=false gc --auto --quiet
}

haves() { # MIRROR FORMAT
	format=$2
	open_mirror "$1"
	m for-each-ref --sort=-refname --count="$KEPT_REFS" --format='have %(objectname)' refs/runs >&3
}

share() { # OBJECTS: uses them in place of copies
	case $1 in *"$NL"*) fail failed "$1 has a line break in its path" ;; esac
	must printf '%s\n' "$1" >.git/objects/info/alternates
}

from_objects() { # OBJECTS COMMIT
	commit=$2
	share "$1"
	[ ! -f "${1%/objects}/shallow" ] || must cp "${1%/objects}/shallow" .git/shallow
	g --git-dir="${1%/objects}" for-each-ref --merged="$commit" --format='create %(refname) %(objectname)' refs/tags |
		g update-ref --stdin || fail failed
}

from_bundle() { # FILE COMMIT SHALLOW MIRROR: SHALLOW and MIRROR exclude each other
	commit=$2 mirror=$PWD/.git
	heads=$(g bundle list-heads "$1") || fail lacks
	[ -z "$4" ] || open_mirror "$4"
	[ -z "$4" ] || share "$mirror/objects"
	[ -z "$3" ] || must printf '%s\n' "$3" >.git/shallow
	if printf '%s\n' "$heads" | cut -d ' ' -f 1 | m cat-file --batch-check | grep -q ' missing$'; then
		m bundle unbundle "$1" >&2 || unbundled
	fi
	# Whatever is missing here was left out, since the mirror had it then.
	m rev-list --objects --quiet "$commit" --not --glob='refs/runs/*' || fail lacks
	[ -z "$4" ] || must m update-ref "refs/runs/$run" "$commit"
	printf '%s\n' "$heads" | sed -n 's,^\([0-9a-f]*\) \(refs/tags/.*\),create \2 \1,p' | g update-ref --stdin || fail failed
}

unbundled() { # why it could not be
	said=$(tail -c 1500 <&4)
	case $said in *"lacks these prerequisite"*) fail lacks "$said" ;; esac
	fail failed "$said"
}

from_clone() { # URL REF MIRROR
	open_mirror "$3"
	share "$mirror/objects"
	# Nobody is there to answer.
	GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-$(git config core.sshCommand || echo ssh) -oBatchMode=yes}"
	export GIT_SSH_COMMAND
	m fetch -q --no-tags -- "$1" "+$2:refs/runs/$run" || fail source
	commit=$(m rev-parse -q --verify "refs/runs/$run^{commit}") || fail source "$2 is no commit"
	# Nothing is left to fetch but the tags in its history: git looks for them where a ref is kept.
	must g fetch -q -- "$1" "+$2:refs/codex-runner/fetched"
	must g update-ref -d refs/codex-runner/fetched
}

make() { # RUN CWD FORMAT KIND ...
	run=$1 inside=$2 format=$3 kind=$4 mirror=
	shift 4
	must mkdir -p "$state/runs/$run" "$state/workspaces"
	must cd "$state/workspaces"
	top=$PWD/$run
	if [ ! -e "$top" ]; then
		new_tree=$(mktemp -d "$PWD/.$run.XXXXXX") || fail failed
		chmod 755 "$new_tree" # within a folder that is the user's alone
		umask 022
		init "$new_tree"
		must cd "$new_tree"
		"from_$kind" "$@"
		must g checkout -q --detach "$commit"
		must cd ..
		appear "$new_tree" "$top"
		case $mirror in "$state/mirrors"/*) tidy_mirror ;; esac
	fi
	rm -f "$state/runs/$run/upload"
	must cd "$top"
	commit=$(g rev-parse HEAD) || fail failed
	cwd=$(cd -P "./$inside" 2>/dev/null && pwd -P) || fail cwd "$inside is not a folder of"
	case $cwd in *"$NL"*) fail cwd "$inside has a line break in its path in" ;; esac
	case $cwd/ in "$top"/*) ;; *) fail cwd "$inside is a link that leads out of" ;; esac
	[ ! -f .gitmodules ] || echo 'left submodules' >&3
	[ -z "$(g ls-files ':(attr:filter=lfs)' | head -n 1)" ] || echo 'left lfs' >&3
	printf '%s\n' "top $top" "cwd $cwd" "commit $commit" >&3
}

reset() { # RUN COMMIT
	must cd "$state/workspaces/$1"
	rm -rf .git/index.lock .git/MERGE_HEAD .git/CHERRY_PICK_HEAD .git/REVERT_HEAD .git/rebase-merge .git/rebase-apply
	must g checkout -q --force --detach "$2"
	must g reset -q --hard "$2"
	must g clean -q -ffdx
	# Submodules are not checked out: what lies there the agent has made, a repository of its own perhaps.
	g ls-files --stage -z | tr '\000' '\n' | sed -n "s/^160000 [0-9a-f]* [0-9]$(printf '\t')//p" | while IFS= read -r sub; do
		rm -rf "./$sub" && mkdir -p "./$sub"
	done
	[ -z "$(g status --porcelain --ignored --ignore-submodules=none)" ] || fail failed "not all of it could be put back"
}

# What git complains of lies in a file that has no name any more: whatever ends us, nothing is left.
{ find_scratch "$state/runs" && complaint=$(mktemp "$scratch/output.XXXXXX"); } || exit 1
# shellcheck disable=SC2094 # on purpose
exec 3>&1 4<"$complaint" >"$complaint" 2>&1
rm -f "$complaint"
new_mirror='' new_tree=''
trap 'rm -rf ${new_mirror:+"$new_mirror"} ${new_tree:+"$new_tree"}' EXIT
# As the kernel names it: what is written down here is compared, by git and by the supervisor.
must mkdir -p "$state"
state=$(cd -P "$state" && pwd -P) || fail failed
command -v git >/dev/null || fail no-git "git is not installed on this host"
case $verb in
haves) haves "$@" ;;
make) make "$@" ;;
reset) reset "$@" ;;
esac
echo ok >&3
