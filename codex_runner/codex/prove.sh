# Makes the run's own CODEX_HOME on the host, with the chosen skills, and proves codex's sandbox in it.
#
# sh -c SCRIPT sh RUN CODEX BWRAP PROFILE FOLDER ROOT COMMIT FOLDERS AROUND DENIED SOURCE...
#
# BWRAP is a folder to search first for bwrap, or empty. FOLDERS, a line each, are made if they are missing: the sandbox would make an empty file in place of each. AROUND and
# DENIED: see note_points.
#
# SETTINGS_0, SETTINGS_1 ... are the parts of config.toml, since a variable is limited to 128 KiB. COMMIT is the base
# commit, or empty. PROFILE is empty if there is no sandbox. A SOURCE is a folder of skills, `folder PATH` or
# `tree HASH PATH` (see survey.sh, whose functions come before this text). Prints lines `KEY VALUE`:
#
#   handed       `SHA256 PATH` of a SKILL.md that was handed over
#   dropped      the number of skipped files of a folder of skills: links out of the repository, odd names, special files
#   too-large, unreadable   a skipped folder of skills
#   proof        the exit code of the proof; then `wrote` or `kept-out`, `read` or `denied`, by a command in the sandbox
#   said         the last lines that codex printed on stderr
#   unwritable   the folder is not writable for this user, even without a sandbox
#   sysctl, container, system   facts that explain why a sandbox fails

umask 077
nl='
'
tab=$(printf '\t')
run=$1 codex=$2 bwrap=$3 profile=$4 folder=$5 root=$6 commit=$7 folders=$8 around=$9
shift 9
denied=$1
shift
state=${XDG_STATE_HOME:-$HOME/.local/state}/codex-runner
home=$state/runs/$run/home
skills=$state/skills/$run
most_files=2000 most_kib=8192

digest() { # FILE
	{ sha256sum <"$1" || shasum -a 256 <"$1" || openssl dgst -sha256 -r <"$1"; } 2>/dev/null | sed 's/[^0-9a-f].*//'
}

small() { # FOLDER: true if it has few files and bytes
	[ "$(find "$1" | head -n $((most_files + 1)) | wc -l)" -le "$most_files" ] || return 1
	kib=$(du -sk "$1" | sed 's/[^0-9].*//')
	[ "${kib:-$most_kib}" -lt "$most_kib" ]
}

plain_names() { # FOLDER...: true if no name has a line break: the next commands read a name a line
	for each; do
		case $each in *"$nl"*) return 1 ;; esac
		[ -z "$(find "$each" -name "*$nl*" 2>/dev/null | head -n 1)" ] || return 1
	done
}

take_folder() { # PATH DESTINATION: copies its files, and the targets of links if these lie in the repository
	folder_of "$1" && inside "$REPLY" && plain_names "$REPLY" "$2" || return 2
	small "$REPLY" || return 1
	from=$REPLY
	mkdir -p "$2" && cp -RP "$from/." "$2" || return 2
	find "$2" -type l | while IFS= read -r link; do
		original=$from/${link#"$2/"}
		rm -f "$link"
		if [ -d "$original" ] && folder_of "$original" && inside "$REPLY" && small "$REPLY" &&
			plain_names "$REPLY"; then
			mkdir "$link" && cp -RP "$REPLY/." "$link"
		elif [ -f "$original" ] && file_of "$original" && inside "$REPLY"; then
			cp "$REPLY" "$link"
		else
			echo dropped 1
		fi
	done
	find "$2" ! -type d ! -type f | while IFS= read -r odd; do
		rm -f "$odd"
		echo dropped 1
	done
	chmod -R u+rwX,go-rwx "$2"
}

take_tree() { # HASH PATH DESTINATION DEPTH: copies the files of a tree of the base commit; follows links within it
	plain_git ls-tree -r -l "$1" >"$skills/list.$4" || return 2
	awk -v files="$most_files" -v bytes=$((most_kib * 1024)) '{ sum += $4 } END { exit NR > files || sum > bytes }' \
		"$skills/list.$4" || return 1
	within=${2#"${root%/}/"}
	while IFS= read -r line; do
		path=${line#*"$tab"}
		# shellcheck disable=SC2086 # mode, type, hash, size
		set -- "$1" "$2" "$3" "$4" ${line%%"$tab"*}
		mode=$5 hash=$7
		case $path in
		'"'*) # a quoted name
			echo dropped 1
			continue
			;;
		*/*) mkdir -p "$3/${path%/*}" ;;
		*) mkdir -p "$3" ;;
		esac
		case $mode in
		100*) ;;
		120000)
			if [ "$4" -lt 1 ] && object "$within/$path" tree; then
				take_tree "${REPLY%% *}" "$root/$within/$path" "$3/$path" $(($4 + 1)) || echo dropped 1
				within=${2#"${root%/}/"}
				continue
			elif object "$within/$path" blob; then
				hash=${REPLY%% *}
			else
				echo dropped 1
				continue
			fi
			;;
		*)
			echo dropped 1
			continue
			;;
		esac
		plain_git cat-file blob "$hash" >"$3/$path" || return 2
		[ "$mode" != 100755 ] || chmod u+x "$3/$path"
	done <"$skills/list.$4"
	rm -f "$skills/list.$4"
}

take() { # SOURCE PLACE DESTINATION
	case $1 in
	"folder "*) take_folder "$2" "$3" ;;
	*)
		hash=${1#tree }
		take_tree "${hash%% *}" "$2" "$3" 0
		;;
	esac
}

take_skills() { # SOURCE...
	number=0
	for source; do
		number=$((number + 1)) place=${source#* }
		case $source in "tree "*) place=${place#* } ;; esac
		take "$source" "$place" "$skills/$number"
		case $? in
		0)
			mkdir -p "$home/skills" && ln -s "$skills/$number" "$home/skills/$number" || exit 1
			find "$skills/$number" -type f -name SKILL.md | while IFS= read -r file; do
				told handed "$(digest "$file") $place/${file#"$skills/$number/"}"
			done
			;;
		1) told too-large "$place" ;;
		*) told unreadable "$place" ;;
		esac
		[ -h "$home/skills/$number" ] || rm -rf "${skills:?}/$number"
	done
}

prove() { # writes a folder and no file: git ignores empty folders, and reads the tree at the same time
	rmdir "$folder"/.codex-runner-proof-* 2>/dev/null # left by a run that was killed during its proof
	mark=$folder/.codex-runner-proof-$run
	trap 'rmdir "$mark" 2>/dev/null' EXIT
	note_points "$folder" "${home%/home}" "$around" "$denied"
	# If a denied file is missing, a sandbox makes an empty one until it ends. Race: another run's sandbox may end and
	# remove that file at the moment at which this sandbox mounts it. So a failure counts only if it repeats.
	for pause in 0.1 0.5 1 ''; do
		hold_points "${home%/home}"
		# shellcheck disable=SC2016 # for the shell in the sandbox
		PATH=${bwrap:+$bwrap:}$PATH CODEX_HOME=$home "$codex" sandbox -P "$profile" -C "$folder" -- sh -c '
			if mkdir "$1" 2>/dev/null; then rmdir "$1"; echo wrote; else echo kept-out; fi
			if cat "$2" >/dev/null 2>&1; then echo read; else echo denied; fi
		' sh "$mark" "$home/config.toml" >"$home/proof.out" 2>"$home/proof.err" </dev/null
		proof=$?
		if [ "$proof" = 0 ] || [ -z "$pause" ] || ! grep -q '^bwrap: ' "$home/proof.err"; then break; fi
		sleep "$pause" 2>/dev/null || sleep 1
	done
	end_helpers "/runs/$run/home/"
	remove_points "${home%/home}"
	echo "proof $proof"
	grep -xE 'wrote|kept-out|read|denied' "$home/proof.out"
	[ -w "$folder" ] || echo unwritable
	tail -n 60 "$home/proof.err" | while IFS= read -r line; do echo "said $line"; done
	rm -f "$home/proof.out" "$home/proof.err"
	echo "system $(uname -s)"
	for name in kernel/apparmor_restrict_unprivileged_userns kernel/unprivileged_userns_clone user/max_user_namespaces; do
		if [ -r "/proc/sys/$name" ]; then echo "sysctl $name $(cat "/proc/sys/$name")"; fi
	done
	if [ -e /.dockerenv ] || [ -e /run/.containerenv ] || [ -n "${KUBERNETES_SERVICE_HOST-}" ]; then echo container; fi
}

rm -rf "$skills"
mkdir -p "$home" "$state/discarded" || exit 1 # the sandbox would make an empty file for a denied missing path
if [ $# -gt 0 ]; then mkdir -p "$skills" && take_skills "$@" || exit 1; fi
if [ -n "$profile" ]; then
	awk 'BEGIN { for (n = 0; ("SETTINGS_" n) in ENVIRON; n++) printf "%s", ENVIRON["SETTINGS_" n] }' \
		>"$home/config.toml" || exit 1
	printf '%s\n' "$folders" | while IFS= read -r each; do [ -z "$each" ] || [ -e "$each" ] || mkdir -p "$each" 2>/dev/null; done
	prove
fi
echo proved
