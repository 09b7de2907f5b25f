# Prints facts of the host, a line `WORD VALUE` each. $1 is the configured path of codex, or empty.
echo() { printf '%s\n' "$*"; } # some shells' built-in echo interprets backslashes
echo "now $(date +%s)"
echo "system $(uname -sm)"
echo "shell ${SHELL:-unknown}"
command -v git >/dev/null && echo "git $(git --version | sed 's/^git version //')"
{ command -v perl || command -v python3; } >/dev/null && echo "sweep sure"
state=${XDG_STATE_HOME:-$HOME/.local/state}
while [ ! -d "$state" ]; do state=$(dirname "$state"); done
echo "disk $(df -Pk "$state" | awk 'NR == 2 { print $4 }')"
version() { "$1" --version 2>/dev/null </dev/null | sed -n 's/^codex-cli //p' | head -n 1; }
found=${1:-$(command -v codex)}
if [ -n "$found" ] && [ -x "$found" ]; then echo "codex $found"; echo "version $(version "$found")"; fi
if [ -z "$1" ] && [ -z "$found" ]; then
	# nvm, homebrew and others add codex to the PATH of login shells only, or of interactive ones.
	for flags in -l -i; do
		found=$("$SHELL" $flags -c 'command -v codex || which codex' 2>/dev/null </dev/null | grep '^/' | tail -n 1)
		[ -n "$found" ] && [ -x "$found" ] || continue
		PATH=$(dirname "$found"):$PATH
		echo "login-codex $found"; echo "version $(version "$found")"
		break
	done
fi
[ -d /run/systemd/system ] || { echo "logout survives"; exit 0; }
kill=$(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
	KillUserProcesses 2>/dev/null)
[ -n "$kill" ] || kill=$(cat /etc/systemd/logind.conf /etc/systemd/logind.conf.d/*.conf 2>/dev/null |
	sed -n 's/^ *KillUserProcesses *= *//p' | tail -n 1)
case $kill in
*true | yes | on | 1) [ "$(id -u)" = 0 ] && echo "logout survives" || echo "logout killed" ;;
*) echo "logout survives" ;;
esac
