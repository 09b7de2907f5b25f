# shellcheck shell=sh
# The mount points of codex's sandbox: the only list of them, for scripts that must not take them for the agent's files.

# If the sandbox mounts over a missing path, it makes that path. It leaves it behind if it is killed, and codex 0.163
# always does so below the top of a repository.
POINTS='.git .agents .codex .aws .azure .cargo .config .docker .git-credentials .gnupg .kube .local .netrc .password-store
.pypirc .ssh .terraform.d .vault-token .bashrc .bash_profile .bash_login .bash_logout .profile .zshenv .zshrc .zprofile
.zlogin .kshrc .mkshrc .cshrc .tcshrc .login .gitconfig .pam_environment'

missing() { # PATH...: lists those that are not there
	for name; do
		[ -e "$name" ] || [ -h "$name" ] || echo "$name"
	done
}

remove_empty() { # stdin: paths; those that are there by now and empty
	while IFS= read -r name; do
		if [ -h "$name" ]; then
			:
		elif [ -d "$name" ]; then
			rmdir "$name" 2>/dev/null
		elif [ -f "$name" ] && [ ! -s "$name" ]; then
			rm -f "$name"
		fi
	done
	return 0
}
