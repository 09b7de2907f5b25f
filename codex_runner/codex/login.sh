# Asks whether the service takes an access token. Prints `login` with codex's exit code, and then what codex printed.
#
# codex drops a bad access token silently and goes on without one. So the runner asks about it first, with the settings
# in `$2`, in an own home. `login status` does not say who owns the token; codex's app server does (if `$3`). `account`
# comes first, so that it is known even if the service never answers.
echo() { printf '%s\n' "$*"; } # some shells' own reads backslashes
found=$1 settings=$2 identify=$3
own_home
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
	wait "$!"
	echo "account $(grep '"id":2' "$scratch/account" | head -n 1)"
fi
wait "$login"
echo "login $?"
cat "$scratch/said"
