# shellcheck shell=sh disable=SC2154
# The beginning of a delivery by hand: the commit that the agent began with is at hand. People paste these lines, after
# those that assign the names. Each script ends with `&&`, and the last one is by_hand_push.sh.
{ git cat-file -e "$base^{commit}" 2>/dev/null || git fetch --quiet "$remote" "$base"; } &&
