#!/bin/sh
# Makes the image of the Debian 13 that it runs in, as root: Containerfile and `ci/release` call it. Beside it are the
# wheel and the files with the hashes of all that pip installs with it.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# A network whose proxy signs for PyPI brings the certificate of its own.
[ ! -e "$here/ca.pem" ] || export PIP_CERT="$here/ca.pem"

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get upgrade -y -qq >/dev/null
apt-get install -y -qq --no-install-recommends \
	bubblewrap ca-certificates curl git openssh-client python3 python3-venv >/dev/null

# Compiled now: the user of the image cannot write here, and would compile at each start.
python3 -m venv /opt/codex-runner
set -- /opt/codex-runner/bin/python -m pip --quiet --disable-pip-version-check --no-cache-dir
"$@" install --compile --require-hashes --only-binary :all: \
	--requirement "$here/requirements.txt" --requirement "$here/codex.txt"
"$@" install --compile --no-deps --no-index "$here"/codex_runner-*.whl
"$@" uninstall --yes pip 2>/dev/null
ln -s /opt/codex-runner/bin/codex-runner /usr/local/bin/codex-runner
ln -s "$(/opt/codex-runner/bin/python -c 'import codex_cli_bin; print(codex_cli_bin.bundled_codex_path())')" /usr/local/bin/codex

# The user has no way to another one's rights: no password, no sudo, and no program with the setuid bit.
useradd --uid 1000 --create-home --shell /bin/bash codex
install -d -o codex -g codex /work
find / -xdev -type f -perm /6000 -exec chmod a-s {} +

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /tmp/*
