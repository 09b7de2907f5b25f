# shellcheck shell=sh
# The rules by which git ignores files and converts them, kept by content: those of the tree, of `info`, and the user's.
#
# All .gitignore files become one list of patterns from the top, and all .gitattributes files one `info/attributes`. Git
# asks the deepest file first, and in each file its last line: so the shallow ones come first.

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

by_depth() { # KIND: the rules of this kind, as awk has printed them, the shallow ones first
	sed -n "s/^$1$tab//p" | sort -t "$tab" -k1,1n -k2,2n | cut -f 3-
}

ordinary() { # FILE: its lines, if it is a file: to open a fifo would wait for ever
	if [ -f "$1" ] && [ -r "$1" ]; then sed "1s/^$(printf '\357\273\277')//" "$1" && echo; fi
}

user_file() { # KEY NAME: where the user's own rules lie, into $REPLY
	if ! whole git config --path "$1"; then
		REPLY=${XDG_CONFIG_HOME:-${HOME:-}/.config}/git/$2
	fi
}

ignore_rules() { # DIR COMMON: the list, from what the walk over the tree has found (on stdin)
	whole cat "$1/excludesfile"
	ordinary "$REPLY"
	ordinary "$2/info/exclude"
	by_depth i
	cat "$1/skipped"
}

attribute_rules() { # DIR COMMON: the same for attributes. All that matter are set, so that git asks no file of the tree
	echo '[attr]binary -diff -merge -text'
	echo '* !text !crlf !eol !ident !filter !working-tree-encoding'
	whole cat "$1/attributesfile"
	ordinary "$REPLY"
	by_depth a
	ordinary "$2/info/attributes"
	echo '* !diff' # no attribute takes a file's lines out of sight
}

others() { # DIR: lists what is not in the index, and is ignored neither by the rules from before nor by those of now
	tree "$1" ls-files --others --exclude-from="$1/before/rules" >"$1/list" || return 1
	if [ -f "$1/now/rules" ] && ! cmp -s "$1/before/rules" "$1/now/rules"; then
		tree "$1" ls-files --others --exclude-from="$1/now/rules" >>"$1/list" || return 1
	fi
	sort -u "$1/list"
}

excluded() { # DIR RULES: those of the paths on stdin that these rules ignore. Nothing of the tree is read
	mkdir -p "$1/empty"
	(
		cd "$1/empty" || exit
		GIT_WORK_TREE=$1/empty
		export GIT_WORK_TREE
		# A name that begins with a colon would mean something else.
		sed -e 's|^"|"./|' -e t -e 's|^|./|' >"$1/asked" || exit
		ours "$1" -c core.excludesFile="$2" check-ignore --no-index --stdin <"$1/asked" >"$1/told" || [ $? = 1 ] || exit
		sed -e 's|^"\./|"|' -e t -e 's|^\./||' "$1/told"
	)
}
