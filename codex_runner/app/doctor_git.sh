# Prints `whole TOP`, `shallow TOP`, `no` if there is no repository, `missing` if git is not installed.
command -v git >/dev/null || { echo missing; exit 0; }
top=$(git rev-parse --show-toplevel) || { echo no; exit 0; }
[ "$(git rev-parse --is-shallow-repository)" = true ] && { echo "shallow $top"; exit 0; }
echo "whole $top"
