# Finds programs and files that are used outside of the agent's sandbox but lie in folders that the agent may write.
#
# Functions only; the preflight (preflight.py) calls `look_outside`. They print lines `KEY VALUE` as survey.sh does:
#
#   writable     a folder in which the agent may write, as the kernel names it
#   outside      `KIND PATH` of a file or folder below such a folder that the agent must not write; it may be missing
#   home         the account's home, if it lies below such a folder
#   link         `KIND PATH` of a symbolic link below such a folder on the way to one

writable() { # PATH: true if it lies in a folder that the agent may write
	IFS=$nl
	set -f
	for each in $writable; do
		case ${1%/}/ in
		"${each%/}"/*)
			unset IFS
			set +f
			return 0
			;;
		esac
	done
	unset IFS
	set +f
	return 1
}

is_whole() { # PATH: true if it is itself a folder that the agent may write
	case $nl$writable in *"$nl${1:-/}$nl"*) return 0 ;; esac
	return 1
}

trace() { # KIND PATH [FILE]: prints each link on the way that the agent may write, and the place; the place is in $REPLY
	# With FILE, PATH is the folder of that file. A folder that the agent may write cannot itself become read-only.
	REPLY='' rest=$2 hops=0
	case $rest in
	/*) ;;
	*) rest=$here/$rest ;;
	esac
	while [ -n "$rest" ]; do
		name=${rest%%/*}
		case $rest in
		*/*) rest=${rest#*/} ;;
		*) rest='' ;;
		esac
		case $name in
		'' | .) continue ;;
		..)
			REPLY=${REPLY%/*}
			continue
			;;
		esac
		if [ ! -h "$REPLY/$name" ]; then
			REPLY=$REPLY/$name
			continue
		fi
		if writable "$REPLY/$name"; then told link "$1 $REPLY/$name"; fi
		hops=$((hops + 1))
		[ "$hops" -le 40 ] || return
		leads=$(readlink "$REPLY/$name" && echo .) || return
		case $leads in /*) REPLY='' ;; esac
		rest=${leads%"$nl".}/$rest
	done
	[ -z "${3-}" ] || ! is_whole "$REPLY" || return 0
	if writable "$REPLY"; then told outside "$1 $REPLY"; fi
}

trace_tools() { # KIND FOLDER: programs of the runner's scripts may be links in it to a file that the agent may write
	writable "$2" || return 0
	for tool in sh bash dash env git git-lfs ssh cksum codex bwrap awk basename cat chmod cp cut date dd df dirname du \
		find grep head id kill ln ls mkdir mkfifo mktemp mv nohup od openssl perl ps python3 readlink rm rmdir sed \
		setsid sha256sum shasum sleep sort stat tail tar tee timeout touch tr uname wc xargs; do
		if [ -h "$2/$tool" ]; then trace_file "$1" "$2/$tool"; fi
	done
}

trace_file() { # KIND FILE: the folders of the file, and of each link to it
	file=$2 turns=0
	while [ "$turns" -le 16 ]; do
		turns=$((turns + 1))
		case $file in
		*/*) ;;
		*) return ;;
		esac
		trace "$1" "${file%/*}/" file
		file=${REPLY%/}/${file##*/}
		if [ ! -h "$file" ]; then
			if writable "$file"; then told outside "$1 $file"; fi
			return
		fi
		if is_whole "${file%/*}"; then told link "$1 $file"; fi
		leads=$(readlink "$file" && echo .) || return
		leads=${leads%"$nl".}
		case $leads in
		/*) file=$leads ;;
		*) file=${file%/*}/$leads ;;
		esac
	done
}

trace_list() { # KIND LIST: entries separated by colons
	left=$2:
	while [ -n "$left" ]; do
		entry=${left%%:*} left=${left#*:}
		trace "$1" "${entry:-.}"
		trace_tools "$1" "$REPLY"
	done
}

look_outside() { # ROOTS PLACES CODEX FOLDER: lines of folders, and of `KIND PATH`; `:tmpdir` is TMPDIR, `~` the home
	nl='
'
	writable=''
	here=$(cd -P "${4:-/}" 2>/dev/null && pwd) || return 0
	while IFS= read -r line; do
		# shellcheck disable=SC2088 # a tilde from a configuration
		case $line in
		:tmpdir) line=${TMPDIR-} ;;
		"~" | "~/"*) line=${HOME-}${line#"~"} ;;
		esac
		case $line in
		/*) line=$(cd -P "$line" 2>/dev/null && pwd) || continue ;;
		*) continue ;;
		esac
		writable=$writable$line$nl
		told writable "$line"
	done <<-END
		$1
	END
	[ -n "$writable" ] || return 0
	trace_list PATH "${PATH-}"
	if [ -n "${LD_LIBRARY_PATH-}" ]; then trace_list LD_LIBRARY_PATH "$LD_LIBRARY_PATH"; fi
	for each_file in $(printf '%s' "${LD_PRELOAD-}" | tr : ' '); do
		case $each_file in */*) trace_file LD_PRELOAD "$each_file" ;; esac
	done
	trace_file codex "$3"
	case $file in # with its helpers: codex starts its own bwrap outside of the sandbox
	*/vendor/*/*/codex) helpers=${file%/*/codex} ;;
	*/bin/codex) helpers=${file%/bin/codex} && [ -d "$helpers/codex-resources" ] || helpers='' ;;
	*) helpers='' ;;
	esac
	if [ -n "$helpers" ] && writable "$helpers"; then told outside "codex $helpers"; fi
	while IFS= read -r line; do
		case $line in *' '*) trace "${line%% *}" "${line#* }" ;; esac
	done <<-END
		$2
	END
	# Start-up files: shells, ssh and git read them first.
	real_home=$(cd -P "${HOME:-/}" 2>/dev/null && pwd) || return 0
	writable "$real_home" || return 0
	told home "$real_home"
	# Two sandboxes at once remove each other's empty files for missing paths. So make none in a home that runs share.
	for name in $STARTUP; do
		if [ "$real_home" = "$here" ] || [ -e "$real_home/$name" ]; then trace home "$real_home/$name"; fi
	done
	# Paths that the profile denies are left out: `~/.ssh` and `~/.config`, unless missing in the job's own folder.
	# The sandbox can make only one of two missing paths below a missing folder.
	if [ -e "$real_home/.config" ]; then
		for name in .config/fish .config/git; do
			if [ "$real_home" = "$here" ] || [ -e "$real_home/$name" ]; then trace home "$real_home/$name"; fi
		done
	elif [ "$real_home" = "$here" ]; then
		trace home "$real_home/.config"
	fi
	if [ "$real_home" = "$here" ] && [ ! -e "$real_home/.ssh" ]; then trace home "$real_home/.ssh"; fi
}

STARTUP='.bashrc .bash_profile .bash_login .bash_logout .profile .zshenv .zshrc .zprofile .zlogin .kshrc .mkshrc .cshrc
.tcshrc .login .gitconfig .pam_environment'
