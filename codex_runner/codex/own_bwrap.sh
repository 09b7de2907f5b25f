# Becomes codex, with a folder in front of its PATH. The runner does not know the PATH of another host.
#
# sh -c SCRIPT sh FOLDER CODEX ARGUMENT...
PATH=$1:$PATH
export PATH
shift
exec "$@"
