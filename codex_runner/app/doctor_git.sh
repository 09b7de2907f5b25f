# Printed word by word: is there a repository, whole or shallow; what git says where it does not tell.
command -v git >/dev/null || { echo missing; exit 0; }
top=$(git rev-parse --show-toplevel) || { echo no; exit 0; }
[ "$(git rev-parse --is-shallow-repository)" = true ] && { echo "shallow $top"; exit 0; }
echo "whole $top"
