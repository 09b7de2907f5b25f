# Sends a GET to the address $1 with the key in PREFLIGHT_KEY, within $2 seconds, and prints the HTTP status.
command -v curl >/dev/null || { echo no-curl; exit 0; }
awk 'BEGIN { printf "header = \"Authorization: Bearer %s\"\n", ENVIRON["PREFLIGHT_KEY"] }' | (
	unset PREFLIGHT_KEY
	curl --disable --silent --output /dev/null \
		--max-time "$2" --write-out 'status %{http_code}\n' --config - --url "$1"
)
:
