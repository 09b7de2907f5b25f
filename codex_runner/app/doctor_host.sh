# Prints three lines: the system, the folder of run directories (after a `!` if it is not writable), free space in KiB.
uname -sm
state=${XDG_STATE_HOME:-$HOME/.local/state}
while [ ! -e "$state" ]; do state=$(dirname -- "$state"); done
if [ -w "$state" ]; then echo "$state"; else echo "!$state"; fi
df -Pk "$state" | awk 'NR == 2 { print $4 }'
