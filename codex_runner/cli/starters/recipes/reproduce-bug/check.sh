# The check of the job: the tests that the agent wrote fail, and fail as tests, not because they cannot be read.
# If it wrote none, the bug was not reproduced: the agent's message says why, and there is nothing to prove.
#
# This runs the agent's code, written after reading a stranger's words, outside the sandbox: on a machine that is thrown away.
# Adapt the commands.
set -u
changed=$(
	git diff --relative --name-only --diff-filter=d HEAD -- tests
	git ls-files --others --exclude-standard -- tests
)
[ -n "$changed" ] || { echo "no test was written" && exit 0; }

# What is beside the tests, such as data, is no argument of pytest.
written() { printf '%s\n' "$changed" | grep -E '(^|/)(test_[^/]*|[^/]*_test)\.py$'; }

# How each says that a test failed, and that one could not be loaded.
if [ -f package.json ]; then
	failed='failed|failing|not ok' unloadable='Cannot find module|SyntaxError'
	run() { npm test; }
elif [ -f go.mod ]; then
	failed='--- FAIL: ' unloadable='build failed|setup failed'
	run() { go test ./...; }
elif [ -f Cargo.toml ]; then
	failed='test result: FAILED' unloadable='could not compile'
	run() { cargo test --no-fail-fast; }
else
	failed='^FAILED ' unloadable='^ERROR '
	run() { written | tr '\n' '\0' | xargs -0 python3 -m pytest -q -rfE -p no:cacheprovider; }
	written >/dev/null || { echo "below tests/ there are changes, and none is a test" && exit 1; }
fi
if output=$(run 2>&1); then
	printf '%s\n' "$output"
	echo "the new tests pass: they reproduce nothing"
	exit 1
fi
printf '%s\n' "$output"
if printf '%s\n' "$output" | grep -qE -e "$unloadable"; then
	echo "the new tests cannot be loaded"
	exit 1
elif ! printf '%s\n' "$output" | grep -qE -e "$failed"; then
	echo "no test has run"
	exit 1
fi
