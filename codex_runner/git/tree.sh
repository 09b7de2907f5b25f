# shellcheck shell=sh
# git reads a working tree into our own index, with the copied settings. Also lists files outside the tree that matter.

configured() { # PATTERN: a line KEY VALUE for each matching key of the repository at hand; values may have any bytes
	git config -z --get-regexp "$1" | tr '\n\000' ' \n'
}

settings() { # DIR: copies settings of reading and ignoring files; turns off those that run programs or skip files
	# git-lfs would write the last one itself, into a file that is sealed by then.
	configured '^core\.(autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|bigfilethreshold)$' |
		while IFS= read -r line; do
			value=${line#* }
			[ "$value" = "$line" ] && value=true
			git config --file "$1/git/config" "${line%% *}" "$value"
		done
	filters "$1"
	while read -r key value; do
		git config --file "$1/git/config" "$key" "$value"
	done <<-END
		core.excludesFile /dev/null
		core.attributesFile /dev/null
		core.hooksPath /dev/null
		core.fsmonitor false
		core.untrackedCache false
		core.splitIndex false
		core.trustctime true
		core.checkStat default
		core.quotePath true
		core.safecrlf false
		core.looseCompression 1
		core.fsync none
		index.sparse false
		gc.auto 0
		lfs.repositoryFormatVersion 0
	END
}

filters() { # DIR: copies the filters of git-lfs; writes the names of all others, which must not run, to `raw`
	# An earlier job's agent may have written this configuration (it may write a repository within the workspace), and this
	# job's agent may write the program that it names.
	: >"$1/raw"
	configured '^filter\..*\.(clean|process)$' |
		while IFS= read -r line; do
			key=${line%% *} value=${line#* }
			case $value in
			*[!A-Za-z0-9\ %-]*) ;;
			"git-lfs clean "* | "git-lfs filter-process"*)
				git config --file "$1/git/config" "$key" "$value"
				continue
				;;
			esac
			key=${key#filter.}
			printf '%s\n' "${key%.*}" >>"$1/raw"
		done
}

unfiltered() { # DIR: puts files whose filter does not run into the index unchanged: a mere touch is no change
	sort -u "$1/raw" | while IFS= read -r driver; do
		case $driver in *[!A-Za-z0-9_.-]*) continue ;; esac
		tree "$1" ls-files | tree "$1" check-attr --stdin filter | sed -n "s/: filter: $driver\$//p" >"$1/list"
		tree "$1" update-index --force-remove --stdin <"$1/list"
		take "$1" "$1/list"
	done
}

take() { # DIR LIST: adds the files of the list to the index; unreadable files stay in the list, and are reported later
	[ -s "$2" ] || return 0
	tree "$1" update-index --add --remove --replace --stdin <"$2" && return 0
	while IFS= read -r name; do
		printf '%s\n' "$name" | tree "$1" update-index --add --remove --replace --stdin
	done <"$2"
	return 0
}

fill() { # DIR: makes `work` say what the working tree holds, and writes its tree, whose id goes to $REPLY
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty --diff-filter=D >"$1/list" || return 1
	tree "$1" update-index --force-remove --stdin <"$1/list" || return 1
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty >"$1/list" || return 1
	take "$1" "$1/list"
	others "$1" >"$1/others" || return 1
	# A name that ends in a slash is a nested repository; git cannot add one without a commit.
	grep -v '/"\{0,1\}$' "$1/others" >"$1/list"
	take "$1" "$1/list"
	sed -n 's|/\("\{0,1\}\)$|\1|p' "$1/others" >"$1/list" || return 1
	take "$1" "$1/list"
	REPLY=$(tree "$1" write-tree --missing-ok)
}

left() { # DIR: lists the files that git could not read
	others "$1"
	tree "$1" diff-files --name-only --no-renames --ignore-submodules=dirty
}

noted() { # CLASS DIR: for each path on stdin, relative to here, a line HASH CLASS MODE PATH
	: >"$2/marks"
	while IFS= read -r path; do
		mode=-
		[ -x "$path" ] && mode=x
		if [ -h "$path" ]; then
			mode=link:$(readlink "./$path" | ours "$2" hash-object --stdin)
		elif ! [ -f "$path" ]; then
			mode=special # opening a fifo would block for ever
		elif ! [ -r "$path" ]; then
			mode=unreadable
		else
			printf '%s %s %s\n' "$1" "$mode" "$path" >>"$2/marks"
			printf './%s\n' "$path"
			continue
		fi
		printf '%s %s %s\n' "$1" "$mode" "$path" >>"$2/marks"
		echo /dev/null
	done >"$2/hashed"
	ours "$2" hash-object --no-filters --stdin-paths <"$2/hashed" | paste -d ' ' - "$2/marks"
}

watched() { # DIR GITDIR COMMON: files that make git run or believe something, or lie in a submodule not checked out
	if [ -f .git ] || [ -h .git ]; then echo .git | noted top "$1"; fi
	for place in "$2" "$3"; do
		(cd "$place" && decisive)
		[ "$2" = "$3" ] && break
	done | sort | (cd "$3" && noted git "$1")
	while IFS= read -r sub; do
		if [ -d "$sub" ] && ! [ -e "$sub/.git" ]; then find "./$sub" ! -type d | sed 's,^\./,,'; fi
	done <"$1/links" | sort | noted loose "$1"
}
