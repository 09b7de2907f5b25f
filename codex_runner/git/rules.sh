# shellcheck shell=sh
# Copies the contents of git's ignore rules and attributes: from the tree, from `info`, and from the user's files.
#
# All .gitignore files become one list of patterns from the top, and all .gitattributes files one `info/attributes`. In
# git, the deepest file has precedence, and in each file the last line. So the shallow files come first.

# shellcheck disable=SC2016 # awk's own variables
RULES='
FNR == 1 {
	kind = FILENAME ~ /\.gitignore$/ ? "i" : "a"
	base = FILENAME
	sub(/^\.\/\/\.\//, "", base)
	sub(/[^\/]*$/, "", base)
	depth = gsub(/\//, "/", base)
	gsub(/[][*?\\]/, "\\\\&", base)
	gsub(/\n/, "?", base)
	if (kind == "a") gsub(/["\\]/, "\\\\&", base)
	sub(/^\357\273\277/, "")
}
function put(text) { printf "%s\t%d\t%d\t%s\n", kind, depth, FNR, text }
function placed(pattern, bare) {
	bare = pattern
	sub(/\r$/, "", bare)
	sub(/ +$/, "", bare)
	sub(/\/$/, "", bare)
	if (bare == "") return ""
	if (pattern ~ /^\//) return base substr(pattern, 2)
	return base (bare ~ /\// ? "" : "**/") pattern
}
base == "" { put($0); next }
kind == "i" && !/^#/ {
	not = sub(/^!/, "") ? "!" : ""
	if ((path = placed($0)) != "") put(not "/" path)
}
kind == "i" { next }
{ sub(/^[ \t\r]+/, "") }
$0 == "" || /^#/ || /^!/ || /^"!/ || /^\[attr\]/ { next }
{
	if (/^"/) { # quoted as in C
		if (!match($0, /^"([^"\\]|\\.)*"/)) next
		pattern = substr($0, 2, RLENGTH - 2)
	} else {
		match($0, /^[^ \t\r]+/)
		pattern = substr($0, 1, RLENGTH)
		gsub(/["\\]/, "\\\\&", pattern)
	}
	rest = substr($0, RLENGTH + 1)
	if ((path = placed(pattern)) != "") put("\"/" path "\"" rest)
}
'

by_depth() { # KIND: the rules of this kind from awk's output, those of shallow files first
	sed -n "s/^$1$tab//p" | sort -t "$tab" -k1,1n -k2,2n | cut -f 3-
}

ordinary() { # FILE: prints its lines if it is a regular file: opening a fifo would block for ever
	if [ -f "$1" ] && [ -r "$1" ]; then sed "1s/^$(printf '\357\273\277')//" "$1" && echo; fi
}

user_file() { # KEY NAME: the path of the user's own rules, into $REPLY
	if ! whole git config --path "$1"; then
		REPLY=${XDG_CONFIG_HOME:-${HOME:-}/.config}/git/$2
	fi
}

ignore_rules() { # DIR COMMON: the list, from the files that the walk has found (on stdin)
	whole cat "$1/excludesfile"
	ordinary "$REPLY"
	ordinary "$2/info/exclude"
	by_depth i
	cat "$1/skipped"
}

attribute_rules() { # DIR COMMON: the same for attributes. Sets all relevant ones, so that git reads no file of the tree
	echo '[attr]binary -diff -merge -text'
	echo '* !text !crlf !eol !ident !filter !working-tree-encoding'
	whole cat "$1/attributesfile"
	ordinary "$REPLY"
	by_depth a
	ordinary "$2/info/attributes"
	echo '* !diff' # no attribute hides a file's lines
}

others() { # DIR: lists files that are not in the index, and that neither the old nor the new rules ignore
	tree "$1" ls-files --others --exclude-from="$1/before/rules" >"$1/list" || return 1
	if [ -f "$1/now/rules" ] && ! cmp -s "$1/before/rules" "$1/now/rules"; then
		tree "$1" ls-files --others --exclude-from="$1/now/rules" >>"$1/list" || return 1
	fi
	sort -u "$1/list"
}

excluded() { # DIR RULES: those of the paths on stdin that these rules ignore. Reads no file of the tree
	mkdir -p "$1/empty"
	(
		cd "$1/empty" || exit
		GIT_WORK_TREE=$1/empty
		export GIT_WORK_TREE
		# git would parse a name that begins with a colon as a pathspec's magic.
		sed -e 's|^"|"./|' -e t -e 's|^|./|' >"$1/asked" || exit
		ours "$1" -c core.excludesFile="$2" check-ignore --no-index --stdin <"$1/asked" >"$1/told" || [ $? = 1 ] || exit
		sed -e 's|^"\./|"|' -e t -e 's|^\./||' "$1/told"
	)
}
