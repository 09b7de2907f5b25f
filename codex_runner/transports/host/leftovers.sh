# shellcheck shell=sh
# What codex itself leaves: helpers that it starts for files, and empty mount points of its sandbox. Scripts of the codex
# package have these functions too.

# Where the sandbox puts something over a path that is not there, it makes it. It leaves it if it is killed, and codex 0.163
# does so below the top of a repository in any case.
POINTS='.git .agents .codex .aws .azure .cargo .config .docker .git-credentials .gnupg .kube .local .netrc .password-store
.pypirc .ssh .terraform.d .vault-token .bashrc .bash_profile .bash_login .bash_logout .profile .zshenv .zshrc .zprofile
.zlogin .kshrc .mkshrc .cshrc .tcshrc .login .gitconfig .pam_environment'

helpers() { # TEXT: codex's helpers for files into $below, if TEXT, a part of their CODEX_HOME's path, is about them
	# They have no mark. The path is in the command line, or in the PATH that codex gives them.
	below=
	[ -r /proc/self/cmdline ] || return 0
	# shellcheck disable=SC2013 # file names of /proc have no spaces
	for file in $(grep -lF -e --codex-run-as-fs-helper /proc/[0-9]*/cmdline 2>/dev/null); do
		file=${file%/cmdline}
		if grep -qF -e "$1" "$file/cmdline" "$file/environ" 2>/dev/null; then below="$below ${file#/proc/}"; fi
	done
}

end_helpers() { # TEXT: as above. TERM does not end them
	helpers "$1"
	for pid in $below; do kill -KILL "$pid" 2>/dev/null; done
}

note_points() { # FOLDER RUN-DIRECTORY FOLDERS: which are not there, before a sandbox begins; by its path in FOLDERS, one a line
	[ ! -e "$2/points" ] || return 0
	ln -sfn "$1" "$2/points.at"
	{
		(cd "$1" && for name in $POINTS; do [ -e "$name" ] || [ -h "$name" ] || echo "$name"; done)
		printf '%s\n' "$3" | while IFS= read -r one; do
			[ -d "$one" ] || continue
			for name in .git .agents .codex .aws; do [ -e "$one/$name" ] || [ -h "$one/$name" ] || echo "$one/$name"; done
		done
	} >"$2/points" 2>/dev/null
}

remove_points() { # RUN-DIRECTORY: those that were not there, and are there by now and empty
	[ -s "$1/points" ] || return 0
	(
		exec 4<"$1/points" && cd -P "$1/points.at" || exit
		while IFS= read -r name; do
			if [ -h "$name" ]; then
				:
			elif [ -d "$name" ]; then
				rmdir "$name"
			elif [ -f "$name" ] && [ ! -s "$name" ]; then
				rm -f "$name"
			fi
		done <&4
	) 2>/dev/null
	return 0
}
