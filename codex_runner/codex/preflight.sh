# Printed line by line: where runs lie, what the repository would tell codex (survey.sh), whether the home is the job's
# folder and what is not in it, path, version, features. The npm package's `codex` is a Node wrapper that survives
# signals badly and leaves the real one running when it is killed: the native binary beside it is taken.
#
# All in one go, since to an SSH host each question is a round trip. There is no credential in here: the runner may ask
# this before the job has one. Whether the service takes an access token is another question (login.sh).
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
own_home
kept=$runs
# Any start of codex writes into its home, and warns on stderr of a home that it does not like.
export CODEX_HOME="$scratch"
for up in "$runs" "${runs%/*}" "${runs%/*/*}"; do
	# As the kernel names it: a rule for a path behind a symbolic link would be one for nothing.
	if real=$(cd -P "$up" 2>/dev/null && pwd); then runs=$real${runs#"$up"}; break; fi
done
echo "runs $runs"
# While the rest is looked at.
"$found" --version >"$scratch/version" 2>"$scratch/stderr" &
version=$!
"$found" features list >"$scratch/features" 2>/dev/null &
features=$!
[ -z "$3" ] || survey "$3" "$4"
[ -z "$5" ] || look_outside "$5" "$6" "$found" "$3"
if [ -n "$3" ] && [ "$(cd -P "$3" 2>/dev/null && pwd)" = "$(cd -P "$HOME" && pwd)" ]; then echo at_home; fi
shift 6
# While a sandbox of another codex runs, what it denies and is missing is there, as an empty file until that one ends.
for place; do
	at=$HOME/${place#"~/"}
	case $kept in "$at"/*) continue ;; esac  # where runs lie: it is made before codex starts
	if [ ! -e "$at" ] || { [ -f "$at" ] && [ ! -s "$at" ]; }; then echo "absent $place"; fi
done
if wait "$version"; then broken=''; else broken=1; fi
version=$(cat "$scratch/version")
[ -z "$broken" ] || version="broken $version $(tail -c 500 "$scratch/stderr")"
wait "$features"
echo "path $found"
echo "version $version"
while read -r name stage; do case $stage in *removed*) ;; *) echo "feature $name" ;; esac; done <"$scratch/features"
