# Nothing of ours may outlive us, however we end: stdin is a pipe from us, and its end takes the master and its folder.
# Where the master goes first, the watch stays for the folder's sake. The group is ended, not a pid: it may be reused.
# The watch is a shell with nothing in its environment.
folder=$1; shift
exec 3<&0
# shellcheck disable=SC2016 # the inner shell's own
env -i PATH="$PATH" sh -c 'read -r line; rm -rf "$1"; kill -KILL 0' sh "$folder" <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@" </dev/null
