# Prints what a host for agents alone should not have, a line each: a kind, a space, and what it is. Then `done`.
say() { printf '%s %s\n' "$1" "$(printf '%s' "$2" | tr '\n' '?')"; }

me=$(id -u)
[ "$me" = 0 ] && say account root

home=${HOME:-/}
# Credentials of other programs, as these keep them.
for name in .aws .azure .kube .config/gcloud .config/gh .config/hub .docker/config.json .netrc .git-credentials \
	.config/git/credentials .npmrc .pypirc .vault-token .terraform.d/credentials.tfrc.json .gnupg/private-keys-v1.d; do
	[ -e "$home/$name" ] && say credentials "$home/$name"
done
for key in "$home"/.ssh/id_*; do
	case $key in *.pub) continue ;; esac
	[ -f "$key" ] && say credentials "$key"
done

# Sockets through which other programs lend their keys, or this account's rights.
for socket in "${SSH_AUTH_SOCK:-}" "$home/.gnupg/S.gpg-agent" "$home/.gnupg/S.gpg-agent.ssh" \
	"/run/user/$me/gnupg/S.gpg-agent" "/run/user/$me/gnupg/S.gpg-agent.ssh" "/run/user/$me/keyring/ssh" \
	"/run/user/$me/docker.sock" "/run/user/$me/podman/podman.sock"; do
	[ -n "$socket" ] && [ -S "$socket" ] && say socket "$socket"
done
for socket in /var/run/docker.sock /run/podman/podman.sock; do
	[ -S "$socket" ] && [ -w "$socket" ] && say socket "$socket"
done

for git in "$home"/.git "$home"/*/.git "$home"/*/*/.git "$home"/*/*/*/.git; do
	[ -e "$git" ] && say repository "${git%/.git}"
done

# Root may write everything: then only the account is told.
rest=$PATH:
while [ -n "$rest" ]; do
	folder=${rest%%:*}
	rest=${rest#*:}
	case $folder in
	/*) [ "$me" != 0 ] && [ -d "$folder" ] && [ -w "$folder" ] && say path "$folder" ;;
	*) say path "${folder:-.}" ;;
	esac
done
echo 'done .'
