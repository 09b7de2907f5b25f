# shellcheck shell=sh
# The commit that a run begins with, and the files in it. git reads objects only: no working tree, index or attributes,
# so no setting of the repository names a program here. `guard_git` comes before this text.
#
# sh -c SCRIPT sh commit                       the commit, the prefix of the current folder, the top, the remote `origin`
# sh -c SCRIPT sh files COMMIT OFFSET SIZE [PATH...]   a part of the list of files below these paths, as ls-tree prints it
#
# The list ends in `end`, so that one which git could not finish is not taken for a whole one.

set -u
export LC_ALL=C GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_NO_LAZY_FETCH=1 GIT_NO_REPLACE_OBJECTS=1 \
	GIT_LITERAL_PATHSPECS=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR \
	GIT_NAMESPACE GIT_PREFIX GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS GIT_ATTR_SOURCE \
	GIT_DEFAULT_HASH GIT_CONFIG CDPATH
guard_git

commit() {
	printf 'commit\000%s\000' "$(git rev-parse -q --verify 'HEAD^{commit}')"
	printf 'prefix\000%s\000' "$(git rev-parse --show-prefix)"
	printf 'top\000%s\000' "$(git rev-parse --show-toplevel)"
	printf 'origin\000%s\000' "$(git config --get remote.origin.url)"
}

files() { # COMMIT OFFSET SIZE [PATH...]
	_commit=$1 _offset=$2 _size=$3
	shift 3
	{ git ls-tree -r -z --full-tree "$_commit" -- "$@" && printf 'end\000'; } |
		tail -c "+$((_offset + 1))" | head -c "$_size"
}

verb=$1
shift
case $verb in
commit) command -v git >/dev/null 2>&1 && git rev-parse --git-dir >/dev/null && commit ;;
files) files "$@" ;;
esac
