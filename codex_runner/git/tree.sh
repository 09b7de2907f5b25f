# shellcheck shell=sh
# A working tree, read by git into an index of our own, by settings that were copied; and the files beside it that matter.

configured() { # PATTERN: a line KEY VALUE for each key of the repository at hand that matches, whatever the value holds
	git config -z --get-regexp "$1" | tr '\n\000' ' \n'
}

settings() { # DIR: copies what decides how files are read and which are ignored, and turns off what runs or skips
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
	END
}

filters() { # DIR: copies the filters of git-lfs; the names of all others, which are not run, go to `raw`
	# An earlier job's agent may have written this configuration (a repository within the workspace is its to write), and
	# this one's may write the program that it names.
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

unfiltered() { # DIR: takes files whose filter is not run into the index as they are, lest a mere touch change them
	sort -u "$1/raw" | while IFS= read -r driver; do
		case $driver in *[!A-Za-z0-9_.-]*) continue ;; esac
		tree "$1" ls-files | tree "$1" check-attr --stdin filter | sed -n "s/: filter: $driver\$//p" >"$1/list"
		tree "$1" update-index --force-remove --stdin <"$1/list"
		take "$1" "$1/list"
	done
}

take() { # DIR LIST: brings the files of the list into the index; what cannot be read is left over, and told later
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
	# A name that ends in a slash is a repository inside this one; one without a commit cannot be taken in.
	grep -v '/"\{0,1\}$' "$1/others" >"$1/list"
	take "$1" "$1/list"
	sed -n 's|/\("\{0,1\}\)$|\1|p' "$1/others" >"$1/list" || return 1
	take "$1" "$1/list"
	REPLY=$(tree "$1" write-tree --missing-ok)
}

left() { # DIR: lists what git saw and could not read
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
			mode=special # to open a fifo would wait for ever
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

watched() { # DIR GITDIR COMMON: what makes git run or believe something, and files where a submodule is not checked out
	if [ -f .git ] || [ -h .git ]; then echo .git | noted top "$1"; fi
	for place in "$2" "$3"; do
		(cd "$place" && decisive)
		[ "$2" = "$3" ] && break
	done | sort | (cd "$3" && noted git "$1")
	while IFS= read -r sub; do
		if [ -d "$sub" ] && ! [ -e "$sub/.git" ]; then find "./$sub" ! -type d | sed 's,^\./,,'; fi
	done <"$1/links" | sort | noted loose "$1"
}
