# Needs guard.sh before it. Executes its only argument, a command for `sh -c`, with those settings.
guard_git
exec sh -c -- "$1" sh
