#!/bin/sh
# Proves an image from within, as its user: it prints each program's version, and exits with 1 if something is amiss.
set -eu
amiss() {
	echo "image: $1" >&2
	exit 1
}

[ "$(id -u)" != 0 ] || amiss "its user is root"
[ -z "$(find / -xdev -type f -perm /6000 2>/dev/null)" ] || amiss "it has programs with the setuid or setgid bit"
[ ! -w /opt/codex-runner ] || amiss "its user can change codex-runner"
[ -w . ] || amiss "its user cannot write the working directory"
codex-runner --version
codex --version
git --version
ssh -V 2>&1
bwrap --version
bwrap --unshare-all --die-with-parent --ro-bind / / --dev /dev --proc /proc true || amiss "bubblewrap does not start"

# The runner's own proof of codex's sandbox: it has to keep an agent out of what it must not write.
project=$(mktemp -d)
cd "$project"
git init --quiet
cat >codex-runner.toml <<'END'
version = 1

[jobs.proof]
prompt = "Nothing: doctor starts no run."
sandbox = "workspace-write"
credential = { kind = "api_key", source = "env" }
END
told=$(CODEX_API_KEY=no-key-at-all codex-runner doctor proof 2>&1) || true
case $(echo "$told" | awk '$2 == "sandbox" { print $3 }') in
ok) echo "codex's sandbox keeps what it promises" ;;
*)
	echo "$told" >&2
	amiss "codex's sandbox does not start"
	;;
esac
rm -rf "$project"
