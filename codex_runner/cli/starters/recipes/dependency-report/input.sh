# The input of the job: the package manager's list of outdated dependencies, which needs the network. If nothing is outdated,
# it is empty, and the job's gate skips the run. Adapt the commands. Install before what the project depends on.
set -u
cd "$(dirname -- "$0")/.." || exit 1

outdated() {
	# npm exits with 1 if there is something to say.
	[ ! -f package.json ] || npm outdated --long || [ $? -eq 1 ] || return 1
	[ ! -f go.mod ] || go list -u -m -f '{{if and .Update (not .Indirect)}}{{.Path}} {{.Version}} {{.Update.Version}}{{end}}' all || return 1
	[ ! -f Cargo.toml ] || cargo update --dry-run --verbose 2>&1 | grep -E 'Updating|Unchanged' || true
	[ ! -f pyproject.toml ] && [ ! -f requirements.txt ] || python3 -m pip list --outdated --disable-pip-version-check
}

mkdir -p codex-input codex-report
rm -f codex-report/@JOB@.md
outdated >codex-input/@JOB@.txt || { echo "the list of outdated dependencies cannot be made" >&2 && exit 1; }
