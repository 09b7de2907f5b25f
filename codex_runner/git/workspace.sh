# Makes and resets a run's own working tree (workspace) on the host that executes.
#
# sh -c SCRIPT sh haves MIRROR FORMAT                         the commits that the mirror has from earlier runs
# sh -c SCRIPT sh make RUN CWD FORMAT objects OBJECTS COMMIT  from a repository on this host, whose objects it uses
# sh -c SCRIPT sh make RUN CWD FORMAT bundle FILE COMMIT SHALLOW MIRROR   from a git bundle that was uploaded
# sh -c SCRIPT sh make RUN CWD FORMAT clone URL REF MIRROR    from a URL that this host can fetch
# sh -c SCRIPT sh reset RUN COMMIT                            back to its first state, after any change
#
# Each answers lines of KEY VALUE that end in `ok`, or `error CODE MESSAGE`. Each command is idempotent: a connection may
# break after any step, and the first call may still be running when the second begins. So a workspace is made in another
# folder and appears by one rename. git itself makes two concurrent writes into a mirror safe.
#
# A workspace is its own repository and no `git worktree`. So an agent's changes of settings or branches stay in it, and
# disappear with its folder. Objects of the mirror are not copied (objects/info/alternates). Each workspace has a ref in
# its mirror, refs/runs/RUN, so that git keeps its objects; the ref is removed some time after the workspace.

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
guard_git # from git/guard.sh, which must come before this text

fail() { # CODE [MESSAGE]: the default message is git's stderr
	if [ $# = 1 ]; then
		set -- "$1" "$(tail -c 1500 <&4)"
		# The file of stderr is on the full disk, too.
		{ printf '%4096s' '' >"$state/room.$$"; } 2>/dev/null || set -- "$1" "no room left in $state: $2"
		rm -f "$state/room.$$"
	fi
	printf 'error %s %s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')" >&3
	exit 0
}

must() { "$@" || fail failed; }

appear() { # FROM TO: by one rename. If TO exists by now, mv puts FROM into it: another process was first
	if mv "$1" "$2" && [ ! -e "$2/${1##*/}" ]; then return; fi
	rm -rf "$1" "${2:?}/${1##*/}"
}

g() { # ARGUMENT...: git, without settings of the user that start programs or read other files
	git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c submodule.recurse=false -c gc.auto=0 \
		-c maintenance.auto=false -c advice.detachedHead=false "$@"
}

m() { g --git-dir="$mirror" "$@"; }

init() { # OPTION... FOLDER
	must g init -q --template= ${format:+"--object-format=$format"} "$@"
}

open_mirror() { # NAME: its folder into $mirror; made if it is missing
	mirror=$state/mirrors/$1
	if [ ! -d "$mirror" ]; then
		must mkdir -p "$state/mirrors"
		new_mirror=$(mktemp -d "$state/mirrors/.$1.XXXXXX") || fail failed
		init --bare "$new_mirror"
		# Objects without a ref may belong to a workspace that is being made, or be its tags.
		must g --git-dir="$new_mirror" config gc.pruneExpire 3.months.ago
		appear "$new_mirror" "$mirror"
	fi
	touch "$mirror" # the supervisor's prune() removes mirrors by their age
}

tidy_mirror() { # removes refs that no workspace and no later run needs, then runs git's own maintenance
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

share() { # OBJECTS: uses them instead of copies (alternates)
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
	# The bundle lacks objects that the mirror had when it was made.
	m rev-list --objects --quiet "$commit" --not --glob='refs/runs/*' || fail lacks
	[ -z "$4" ] || must m update-ref "refs/runs/$run" "$commit"
	printf '%s\n' "$heads" | sed -n 's,^\([0-9a-f]*\) \(refs/tags/.*\),create \2 \1,p' | g update-ref --stdin || fail failed
}

unbundled() { # fails with the reason
	said=$(tail -c 1500 <&4)
	case $said in *"lacks these prerequisite"*) fail lacks "$said" ;; esac
	fail failed "$said"
}

from_clone() { # URL REF MIRROR
	open_mirror "$3"
	share "$mirror/objects"
	# git must not ask for a password: there is no user to answer.
	GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-$(git config core.sshCommand || echo ssh) -oBatchMode=yes}"
	export GIT_SSH_COMMAND
	m fetch -q --no-tags -- "$1" "+$2:refs/runs/$run" || fail source
	commit=$(m rev-parse -q --verify "refs/runs/$run^{commit}") || fail source "$2 is no commit"
	# Only the tags in its history are still missing: git fetches them when it stores a ref.
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
		chmod 755 "$new_tree" # its parent folder is private (0700)
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
	# Submodules are not checked out, so the agent has made everything in their folders, perhaps a repository.
	g ls-files --stage -z | tr '\000' '\n' | sed -n "s/^160000 [0-9a-f]* [0-9]$(printf '\t')//p" | while IFS= read -r sub; do
		rm -rf "./$sub" && mkdir -p "./$sub"
	done
	[ -z "$(g status --porcelain --ignored --ignore-submodules=none)" ] || fail failed "some changes remain after the reset"
}

# git's stderr goes to an unlinked file, so that nothing remains even if the script is killed.
{ find_scratch "$state/runs" && complaint=$(mktemp "$scratch/output.XXXXXX"); } || exit 1
# shellcheck disable=SC2094 # on purpose
exec 3>&1 4<"$complaint" >"$complaint" 2>&1
rm -f "$complaint"
new_mirror='' new_tree=''
trap 'rm -rf ${new_mirror:+"$new_mirror"} ${new_tree:+"$new_tree"}' EXIT
# The physical path: git and the supervisor compare the paths that are written here.
must mkdir -p "$state"
state=$(cd -P "$state" && pwd -P) || fail failed
command -v git >/dev/null || fail no-git "git is not installed on this host"
case $verb in
haves) haves "$@" ;;
make) make "$@" ;;
reset) reset "$@" ;;
esac
echo ok >&3
