# Looks for codex on a host, and asks it what a run has to know. Prints the folder of run directories, what the repository
# would tell codex (survey.sh), whether the home is the job's folder, and what is not in it. Then come codex's path,
# version and features.
#
# The npm package's `codex` is a Node wrapper. It handles signals badly, and leaves the real codex running if it is
# killed. So the script takes the native binary beside it.
#
# The script asks all questions in one go: to an SSH host each is a round trip. It gets no credential: the runner may ask
# this before the job has one. login.sh asks whether the service takes an access token.

look_at_bwrap() { # codex prefers the bwrap in PATH to its own
	# One before 0.9.0 has no --argv0. codex then starts itself again by a link in its home, and the sandbox has denied that
	# by then. Print the folder of codex's own bwrap, to be searched first, or else that old one.
	system=$(command -v bwrap) || return 0
	case $("$system" --help 2>&1) in *--argv0*) return 0 ;; esac
	own=$(readlink -f "$found" 2>/dev/null) || own=$found
	own=${own%/*}
	own=${own%/*}/codex-resources
	if [ -x "$own/bwrap" ]; then told bwrap "$own"; else told old-bwrap "$system"; fi
}

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
look_at_bwrap
own_home
kept=$runs
# Any start of codex writes into its home, and warns on stderr of a home that it does not like.
export CODEX_HOME="$scratch"
for up in "$runs" "${runs%/*}" "${runs%/*/*}"; do
	# As the kernel names it: a rule for a path behind a symbolic link would have no effect.
	if real=$(cd -P "$up" 2>/dev/null && pwd); then runs=$real${runs#"$up"}; break; fi
done
echo "runs $runs"
# In the background.
"$found" --version >"$scratch/version" 2>"$scratch/stderr" &
version=$!
"$found" features list >"$scratch/features" 2>/dev/null &
features=$!
[ -z "$3" ] || survey "$3" "$4"
[ -z "$5" ] || look_outside "$5" "$6" "$found" "$3"
if [ -n "$3" ] && [ "$(cd -P "$3" 2>/dev/null && pwd)" = "$(cd -P "$HOME" && pwd)" ]; then echo at_home; fi
shift 6
# While another codex's sandbox runs, there is an empty file in place of each missing path that it denies.
for place; do
	at=$HOME/${place#"~/"}
	case $kept in "$at"/*) continue ;; esac  # the folder of run directories: it is made before codex starts
	if [ ! -e "$at" ] || { [ -f "$at" ] && [ ! -s "$at" ]; }; then echo "absent $place"; fi
done
if wait "$version"; then broken=''; else broken=1; fi
version=$(cat "$scratch/version")
[ -z "$broken" ] || version="broken $version $(tail -c 500 "$scratch/stderr")"
wait "$features"
echo "path $found"
echo "version $version"
while read -r name stage; do case $stage in *removed*) ;; *) echo "feature $name" ;; esac; done <"$scratch/features"
