# shellcheck shell=sh
# The mount points of codex's sandbox: the only list of them, for scripts that must not take them for the agent's files.

# If the sandbox mounts over a missing path, it makes that path. It leaves it behind if it is killed, and codex 0.163
# always does so below the top of a repository.
POINTS='.git .agents .codex .aws .azure .cargo .config .docker .git-credentials .gnupg .kube .local .netrc .password-store
.pypirc .ssh .terraform.d .vault-token .bashrc .bash_profile .bash_login .bash_logout .profile .zshenv .zshrc .zprofile
.zlogin .kshrc .mkshrc .cshrc .tcshrc .login .gitconfig .pam_environment'

missing() { # PATH...: lists those that do not exist
	for name; do
		[ -e "$name" ] || [ -h "$name" ] || echo "$name"
	done
}

remove_empty() { # stdin: paths; removes those that exist and are empty
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

unused() { # RUN-DIRECTORY; stdin: paths, those of this folder relative; lists existing ones that no other sandbox may use
	# Without its mount point, another sandbox loses its mount or does not start. A command failed that way.
	# The path goes to the list of that run, which removes it when it ends. If the sandbox is of no run of ours, the path
	# stays in the caller's list, and goes with the run's directory. `points.left` says that there is such a path.
	place=$(pwd -P) looked='' mounted=unread
	while IFS= read -r point; do
		case $point in /*) ;; *) point=$place/$point ;; esac
		# Hardly any is there, and to look for other sandboxes takes a while.
		if [ -h "$point" ] || [ ! -e "$point" ] || { [ -f "$point" ] && [ -s "$point" ]; }; then continue; fi
		if [ -z "$looked" ]; then
			looked=1
			sandboxes=$(living_sandboxes "$1")
		fi
		user=$(printf '%s\n' "$sandboxes" | while IFS= read -r sandbox; do
			if [ -n "$sandbox" ] && grep -qxF -e "${point%/*}" "$sandbox/points.in"; then echo "$sandbox" && break; fi
		done)
		if [ -n "$user" ] && printf '%s\n' "$point" 2>/dev/null >>"$user/points"; then continue; fi
		[ -e "$point" ] || continue
		[ "$mounted" != unread ] || mounted=$(mounted_paths)
		if printf '%s\n' "$mounted" | grep -qxF -e "$point"; then
			printf '%s\n' "$point" 2>/dev/null >>"$1/points.left"
		else
			printf '%s\n' "$point"
		fi
	done
}

mounted_paths() { # lists the arguments of all bwrap processes of this user: the paths that they mount are among these
	[ -r /proc/self/cmdline ] || return 0
	holding bwrap /proc/[0-9]*/cmdline
	for file in $holders; do
		{
			tr '\0' '\n' <"$file" | {
				IFS= read -r name
				case $name in bwrap | */bwrap) cat ;; esac
			}
		} 2>/dev/null
	done
}

living_sandboxes() { # RUN-DIRECTORY: lists the directories of all other runs of this user whose codex is alive
	[ -r /proc/self/environ ] || return 0
	holding CODEX_HOME= /proc/[0-9]*/environ
	for file in $holders; do
		{ tr '\0' '\n' <"$file" | sed -n 's,^CODEX_HOME=\(/.*/runs/[^/]*\)/home$,\1,p'; } 2>/dev/null
	done | sort -u | while IFS= read -r sandbox; do [ "$sandbox" = "$1" ] || printf '%s\n' "$sandbox"; done
}

holding() { # TEXT FILE...: those files of /proc that hold the text, behind a NUL or not, into $holders
	sought=$1
	shift
	# grep -F of busybox reads a line to its first NUL, and no further. Others find the text in their own command line.
	holders=$(grep -lF -e "$sought" /proc/self/cmdline "$@" 2>/dev/null)
	case $holders in
	/proc/self/cmdline*)
		holders=${holders#/proc/self/cmdline}
		return
		;;
	esac
	holders=
	for candidate; do
		if { tr '\0' '\n' <"$candidate" | grep -qF -e "$sought"; } 2>/dev/null; then holders="$holders $candidate"; fi
	done
}
