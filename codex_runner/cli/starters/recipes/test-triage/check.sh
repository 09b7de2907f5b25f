# The check of the job: the report names each failing test of the output, invents none, and gives each reason a kind and a
# commit that exists.
set -u
report=codex-report/@JOB@.md
output=codex-input/@JOB@.txt
[ -s "$report" ] || { echo "there is no $report" && exit 1; }

# shellcheck disable=SC2016 # Markdown's code, not the shell's
named() { sed -n 's/^### *//p' "$report" | sed 's/^`//; s/`$//'; }
# As pytest, Go and Rust name them. Another runner's are only looked up, below.
failed() {
	sed -n -e 's/^FAILED \([^ ]*::[^ ]*\).*/\1/p' -e 's/^ERROR \([^ ]*::[^ ]*\).*/\1/p' -e 's/^ *--- FAIL: \([^ ]*\).*/\1/p' \
		-e 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$output" | sort -u
}
values() { sed -n "s/^- $1: *//p" "$report"; }

wrong=$(
	named | while IFS= read -r test; do
		grep -qF -e "$test" "$output" || printf 'the output has no test %s\n' "$test"
	done
	failed | while IFS= read -r test; do
		named | grep -qxF -e "$test" || printf 'the report leaves out %s\n' "$test"
	done
	named | grep -q . || echo "the report names no failing test"
	values Kind | grep -vxE 'regression|test|flaky|environment|unknown' | sed 's/^/no such kind: /'
	[ "$(grep -c '^## ' "$report")" -eq "$(values Kind | grep -c .)" ] || echo "each reason has one line Kind"
	values Since | grep -vx unknown | while IFS= read -r commit; do
		git rev-parse --verify --quiet "${commit%%[!0-9a-f]*}^{commit}" >/dev/null || printf 'there is no commit %s\n' "$commit"
	done
)
[ -z "$wrong" ] || { printf '%s\n' "$wrong" && exit 1; }
