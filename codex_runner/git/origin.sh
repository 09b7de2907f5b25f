# shellcheck shell=sh
# Prints the address of the remote `origin`, from before the agent. `guard_git` comes before this text.
guard_git
git remote get-url origin 2>/dev/null || :
