# Looks for codex on a host, and asks it what a run has to know. Prints the folder of run directories, what the repository
# would tell codex (survey.sh), whether the home is the job's folder, and what is not in it. Then come codex's path,
# version, features and login, and what the login said.
#
# The npm package's `codex` is a Node wrapper. It handles signals badly, and leaves the real codex running if it is
# killed. So the script takes the native binary beside it.
#
# codex drops a bad access token silently and goes on without one. So the script asks it about the token first, in a home
# of its own with the settings in `$4`. It asks all questions in one go: to an SSH host each is a round trip, and codex
# takes its time to start. Questions to the service come last: if it never answers, all else is known by then.
# `login status` does not say whose the token is; codex's app server does (`$5`). `$9` is the table of versions.
echo() { printf '%s\n' "$*"; } # some shells' own reads backslashes
found=$1
if [ -z "$found" ]; then
	found=$(command -v codex) || found=$2
	[ -n "$found" ] || { echo missing; exit 0; }
fi
case $found in
*/*) [ -x "$found" ] && [ ! -d "$found" ] || { echo "missing $found"; exit 0; } ;;
*) named=$found; found=$(command -v "$named") || { echo "missing $named"; exit 0; } ;;
esac
real=$(readlink -f "$found" 2>/dev/null) || real=$found
case $real in
*/@openai/codex/bin/codex.js)
	scope=${real%/codex/bin/codex.js}
	for native in "$scope"/codex-*/vendor/*/bin/codex "$scope"/codex/node_modules/@openai/codex-*/vendor/*/bin/codex \
		"$scope"/codex/vendor/*/*/codex; do
		if [ -x "$native" ]; then found=$native; break; fi
	done
	;;
esac
no_core
runs=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner/runs
kept=$runs
# Not in TMPDIR: another run's agent may put an `.env` into it, and codex would send the token to the proxy in that file.
find_scratch "$runs" || { echo "full $scratch"; exit 0; }
own=$(mktemp -d "$scratch/codex.$(uname -n).$$.XXXXXX") || { echo "full $scratch"; exit 0; }
scratch=$own
trap 'end_helpers "$scratch/"; rm -rf "$scratch"' EXIT
# On a full disk codex would fail silently.
{ printf '%65536s' '' >"$scratch/room"; } 2>/dev/null || { echo "full ${scratch%/*}"; exit 0; }
# Any start of codex writes into its home, and warns on stderr of a home that it does not like.
export CODEX_HOME="$scratch"
for up in "$runs" "${runs%/*}" "${runs%/*/*}"; do
	# As the kernel names it: a rule for a path behind a symbolic link would have no effect.
	if real=$(cd -P "$up" 2>/dev/null && pwd); then runs=$real${runs#"$up"}; break; fi
done
echo "runs $runs"
# In the background. Without a token: with one, codex would ask the service even for this.
(
	unset CODEX_ACCESS_TOKEN
	exec "$found" --version
) >"$scratch/version" 2>"$scratch/stderr" &
versioned=$!
[ -z "$3" ] || survey "$3" "$6"
[ -z "$7" ] || look_outside "$7" "$8" "$found" "$3"
if [ -n "$3" ] && [ "$(cd -P "$3" 2>/dev/null && pwd)" = "$(cd -P "$HOME" && pwd)" ]; then echo at_home; fi
settings=$4 identify=$5 table=$9
shift 9
# While another codex's sandbox runs, there is an empty file in place of each missing path that it denies.
for place; do
	at=$HOME/${place#"~/"}
	case $kept in "$at"/*) continue ;; esac  # the folder of run directories: it is made before codex starts
	if [ ! -e "$at" ] || { [ -f "$at" ] && [ ! -s "$at" ]; }; then echo "absent $place"; fi
done
if wait "$versioned"; then broken=''; else broken=1; fi
version=$(cat "$scratch/version")
[ -z "$broken" ] || version="broken $version $(tail -c 500 "$scratch/stderr")"
# A refused codex gets no token: what is bad about it may be what it does with one.
if [ -n "$settings" ] && is_refused "${version#codex-cli }" "$table"; then settings=''; fi
if [ -n "$settings" ]; then
	mkdir "$scratch/login"
	printf '%s' "$settings" >"$scratch/login/config.toml"
	CODEX_HOME=$scratch/login "$found" login status >"$scratch/said" 2>&1 &
	login=$!
	if [ -n "$identify" ]; then
		mkdir "$scratch/server"
		printf '%s' "$settings" >"$scratch/server/config.toml"
		# shellcheck disable=SC2094 # one side waits for what the other writes
		{
			printf '%s\n' \
				'{"id":1,"method":"initialize","params":{"clientInfo":{"name":"codex-runner","version":"1"}}}' \
				'{"method":"initialized"}' '{"id":2,"method":"account/read","params":{"refreshToken":false}}'
			# It ends with its stdin, whether it has answered or not.
			looks=0
			until grep -q '"id":2' "$scratch/account" || [ "$looks" -gt 100 ]; do
				looks=$((looks + 1))
				sleep 0.1 2>/dev/null || sleep 1
			done
		} | { CODEX_HOME=$scratch/server "$found" app-server; echo '{"id":2}'; } >"$scratch/account" 2>/dev/null &
		asked=$!
	fi
fi
unset CODEX_ACCESS_TOKEN
"$found" features list >"$scratch/features" 2>/dev/null &
features=$!
wait "$features"
echo "path $found"
echo "version $version"
while read -r name stage; do case $stage in *removed*) ;; *) echo "feature $name" ;; esac; done <"$scratch/features"
[ -n "$settings" ] || exit 0
if [ -n "$identify" ]; then
	wait "$asked"
	echo "account $(grep '"id":2' "$scratch/account" | head -n 1)"
fi
wait "$login"
echo "login $?"
cat "$scratch/said"
