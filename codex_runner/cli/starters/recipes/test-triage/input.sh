# The input of the job: runs the tests, and keeps their output for the agent. If all of them pass, the output is empty, and
# the job's gate skips the run. Adapt the command. Install before what it needs.
set -u
cd "$(dirname -- "$0")/.." || exit 1

run_tests() {
	if [ -f package.json ]; then
		npm test
	elif [ -f go.mod ]; then
		go test ./...
	elif [ -f Cargo.toml ]; then
		cargo test --no-fail-fast
	else
		python3 -m pytest -q -rfE
	fi
}

mkdir -p codex-input codex-report
rm -f codex-report/@JOB@.md
if run_tests >codex-input/@JOB@.all 2>&1; then
	: >codex-input/@JOB@.txt
else
	# The end of an output says why. The agent reads no more than this.
	tail -c 200000 codex-input/@JOB@.all >codex-input/@JOB@.txt
	[ -s codex-input/@JOB@.txt ] || echo "The tests failed, and printed nothing." >codex-input/@JOB@.txt
fi
rm -f codex-input/@JOB@.all
