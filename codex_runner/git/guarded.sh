# Behind guard.sh: executes its only argument, a command for `sh -c`, under those settings.
guard_git
exec sh -c -- "$1" sh
