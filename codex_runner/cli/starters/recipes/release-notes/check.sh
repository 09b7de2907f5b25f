# The check of the job: each entry of "Unreleased" names commits that exist, and released sections are as they were.
set -u

released() { awk '/^## / { on = on || tolower($0) !~ /unreleased/ } on'; }
entries() { awk '/^## / { on = tolower($0) ~ /unreleased/ } on && /^[-*] /'; }
before() { git show HEAD:./CHANGELOG.md 2>/dev/null; }

[ -f CHANGELOG.md ] || exit 0
if [ "$(before | released)" != "$(released <CHANGELOG.md)" ]; then
	echo "CHANGELOG.md: a section of a release is not as it was"
	exit 1
fi
# An entry that was there is a person's own.
wrong=$(
	entries <CHANGELOG.md | while IFS= read -r entry; do
		! before | grep -qxF -e "$entry" || continue
		commits=$(printf '%s\n' "$entry" | grep -oE '\([0-9a-f, ]{7,}\)$' | tr '(),' '   ')
		[ -n "$commits" ] || printf 'it names no commit: %s\n' "$entry"
		for commit in $commits; do
			git rev-parse --verify --quiet "$commit^{commit}" >/dev/null || printf 'there is no commit %s\n' "$commit"
		done
	done
)
[ -z "$wrong" ] || { printf '%s\n' "$wrong" && exit 1; }
