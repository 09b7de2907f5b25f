# Ends the ssh master and removes its folder when the runner ends, even if it is killed: stdin is a pipe from the runner.
# If the master ends first, the watching shell stays, to remove the folder. It kills the process group and no pid, since a
# pid may be reused. Its environment is empty.
folder=$1; shift
exec 3<&0
# shellcheck disable=SC2016 # the inner shell's own
env -i PATH="$PATH" sh -c 'read -r line; rm -rf "$1"; kill -KILL 0' sh "$folder" <&3 >/dev/null 2>&1 &
exec 3<&-
exec "$@" </dev/null
