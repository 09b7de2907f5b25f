# shellcheck shell=sh
# Prints a path that git tracks and that belongs to Git LFS, from before the agent. `guard_git` comes before this text.
guard_git
git ls-files ':(top,attr:filter=lfs)' 2>/dev/null | head -n 1
