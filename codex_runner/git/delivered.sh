# shellcheck shell=sh
# What is delivered: the commit from before the agent, with only those paths replaced that differ between the
# recorded trees before and after. Part of changes.sh: `sh -c SCRIPT sh deliver RUN SEAL` works after `changes`.
#
# It reads the recorded trees and the repository's objects, and no file of the working tree.

POINTER='version https://git-lfs.github.com/spec/v1'

differing() { # DIR TREE TREE: lists the paths that differ
	borrowing "$1" diff-tree -r --no-renames --name-only --ignore-submodules=none "$2" "$3" >"$delivery/list" || return 1
	sort "$delivery/list"
}

replaced() { # DIR: makes the tree in an index of its own; its id goes to $REPLY
	(
		GIT_INDEX_FILE=$delivery/index
		export GIT_INDEX_FILE
		borrowing "$1" read-tree "$base_tree" || exit
		# Removals first: a folder may have taken a file's place, or the other way round.
		{
			grep '^0* ' "$delivery/entries"
			grep -v '^0* ' "$delivery/entries"
		} | borrowing "$1" update-index --index-info || exit
		borrowing "$1" write-tree --missing-ok
	) >"$delivery/id" || return 1
	whole cat "$delivery/id"
}

filtered() { # DIR: sorts the paths by their filter before the agent: git-lfs's into `lfs`, others into `filters`
	cat "$1/before/attributes" >"$1/git/info/attributes" || return 1
	{
		echo lfs
		git config --file "$1/git/config" --name-only --get-regexp '^filter\.' | sed 's/^filter\.\(.*\)\.[a-z]*$/\1/'
	} >"$delivery/drivers"
	mkdir -p "$1/empty" || return 1
	(
		cd "$1/empty" || exit
		GIT_WORK_TREE=$1/empty
		export GIT_WORK_TREE
		sort -u "$delivery/paths" "$delivery/uncommitted" | ours "$1" check-attr --stdin filter
	) >"$delivery/list" || return 1
	while IFS= read -r line; do
		driver=${line##*: filter: }
		case $driver in unspecified | unset | set) continue ;; esac
		path=${line%": filter: $driver"}
		if grep -qxF -e "$driver" "$delivery/drivers"; then
			printf '%s\n' "$path" >>"$delivery/lfs"
		else
			printf '%s %s\n' "$driver" "$path" >>"$delivery/filters"
		fi
	done <"$delivery/list"
}

pointed() { # DIR COMMON: sorts the paths of git-lfs: no pointer, an object that is missing, or an object to fetch
	while IFS=$tab read -r entry path; do
		case $entry in 000000* | 160000*) continue ;; esac
		grep -qxF -e "$path" "$delivery/lfs" || continue
		blob=${entry#* }
		borrowing "$1" cat-file blob "$blob" >"$delivery/blob" || return 1
		[ -s "$delivery/blob" ] || continue # git-lfs leaves an empty file empty
		oid=$(head -c 1024 "$delivery/blob" | tr -d '\000' | sed -n 's/^oid sha256:\([0-9a-f]\{64\}\)$/\1/p')
		if [ "$(head -c 200 "$delivery/blob" | tr '\000' . | head -n 1)" != "$POINTER" ] || [ ${#oid} != 64 ]; then
			printf '%s\n' "$path" >>"$delivery/unpointed"
			continue
		fi
		grep -q "^$blob" "$delivery/new" || continue # the commit has this pointer already
		rest=${oid#????}
		at=${oid%"$rest"}
		at=${at%??}/${at#??}/$oid
		for place in "$1/git" "$2"; do
			if [ -f "$place/lfs/objects/$at" ]; then
				printf '%s\n' "$place/lfs/objects" "$at" >>"$delivery/objects"
				continue 2
			fi
		done
		printf '%s\n' "$path" >>"$delivery/absent"
	done <"$delivery/entries"
}

nested() { # lists the submodules with changes that are not in the commit which is delivered, or that cannot be compared
	n=1
	while [ -d "$scratch/$n" ]; do
		if ! cmp -s "$scratch/$n/tree" "$scratch/$n/after"; then
			whole cat "$scratch/$n/prefix" || return 1
			link=$(borrowing "$scratch/0" rev-parse -q --verify "$(cat "$scratch/0/after"):${REPLY%/}")
			holds=$(borrowing "$scratch/$n" rev-parse -q --verify "$link^{tree}")
			[ -n "$holds" ] && [ "$holds" = "$(cat "$scratch/$n/after")" ] || printf '%s\n' "${REPLY%/}"
		fi
		n=$((n + 1))
	done
}

packed() { # DIR: prints what there is to deliver
	dir=$1
	whole cat "$dir/common" || return 1
	common=$REPLY
	head=$(cat "$dir/head")
	tree=$(cat "$dir/tree")
	base_tree=$(borrowing "$dir" rev-parse -q --verify "$head^{tree}") || return 1
	for list in entries filters lfs unpointed absent objects new clashes nested unread; do : >"$delivery/$list"; done
	borrowing "$dir" diff-tree -r --raw --no-abbrev --no-renames --ignore-submodules=none "$tree" "$(cat "$dir/after")" \
		>"$delivery/list" || return 1
	sed "s/^:[0-7]* \([0-7]*\) [0-9a-f]* \([0-9a-f]*\) [A-Z]*$tab/\1 \2$tab/" "$delivery/list" >"$delivery/entries"
	cut -f 2- "$delivery/entries" | sort >"$delivery/paths"
	replaced "$dir" || return 1
	made=$REPLY
	differing "$dir" "$base_tree" "$tree" >"$delivery/uncommitted" || return 1
	filtered "$dir" || return 1
	differing "$dir" "$base_tree" "$made" >"$delivery/made" || return 1
	{
		comm -12 "$delivery/paths" "$delivery/uncommitted"
		comm -3 "$delivery/paths" "$delivery/made" | tr -d '\t' # a path in the way of another one
	} | sort -u >"$delivery/clashes"
	comm -13 "$dir/left" "$dir/now/left" >"$delivery/unread"
	nested >"$delivery/nested" || return 1
	if [ "$made" != "$base_tree" ]; then
		printf '%s\n' "$made" "^$base_tree" >"$delivery/wanted"
		borrowing "$dir" rev-list --objects --stdin <"$delivery/wanted" >"$delivery/new" || return 1
		borrowing "$dir" pack-objects --revs --quiet --delta-base-offset --stdout <"$delivery/wanted" >"$delivery/pack" || return 1
		if [ -s "$delivery/lfs" ]; then pointed "$dir" "$common" || return 1; fi
	fi
	printf 'base\000%s\000base_tree\000%s\000tree\000%s\000folder\000%s\000' "$head" "$base_tree" "$made" "$delivery"
	for list in entries filters unpointed absent objects clashes uncommitted nested unread; do
		section "$list" "$delivery/$list" || return 1
	done
}

deliver() { # SEAL
	sealed "$1"
	[ -s "$scratch/0/head" ] || fail undeliverable "HEAD named no commit before the agent"
	[ -s "$scratch/0/after" ] || fail undeliverable "the tree could not be compared with the one before the agent"
	delivery=$scratch/delivery
	rm -rf "$delivery"
	mkdir "$delivery" || fail failed "cannot make $delivery"
	(packed "$scratch/0") >"$scratch/out" 2>"$scratch/stderr" || fail failed "git: $(cat "$scratch/stderr")"
	answer "$scratch/out"
}
