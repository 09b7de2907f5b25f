# The check of the job: each relative link of a Markdown page that the agent touched leads to a file that exists.
# It exits with 1 and names each link that does not. Links to other sites and within a page are not looked at.
set -u
top=$(git rev-parse --show-toplevel) || exit 1
cd "$top" || exit 1

touched() {
	git -c core.quotePath=false diff --name-only --diff-filter=d HEAD -- '*.md'
	git -c core.quotePath=false ls-files --others --exclude-standard -- '*.md'
}

# Links in code are examples.
links() {
	awk '/^ *(```|~~~)/ { code = !code; next } !code { gsub(/`[^`]*`/, ""); print }' "$1" |
		grep -oE '\]\((<[^>]+|[^) ]+)' | sed 's/^](<*//; s/[#?].*$//; s/%20/ /g'
}

wrong=$(
	touched | while IFS= read -r page; do
		links "$page" | while IFS= read -r link; do
			case $link in
			'' | *:*) continue ;;
			/*) target=.$link ;;
			*) target=$(dirname -- "$page")/$link ;;
			esac
			[ -e "$target" ] || printf '%s: %s leads nowhere\n' "$page" "$link"
		done
	done
)
[ -z "$wrong" ] || { printf '%s\n' "$wrong" && exit 1; }
