# The check of the job: the report is about dependencies of the list alone, gives each a risk, and names files that exist.
set -u
report=codex-report/@JOB@.md
list=codex-input/@JOB@.txt
[ -s "$report" ] || { echo "there is no $report" && exit 1; }

# shellcheck disable=SC2016 # Markdown's code, not the shell's
named() { sed -n 's/^### *//p' "$report" | sed 's/^`//; s/`$//'; }
values() { sed -n "s/^- $1: *//p" "$report"; }

wrong=$(
	named | while IFS= read -r name; do
		awk -v name="$name" '{ for (i = 1; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' "$list" ||
			printf 'the list has no %s\n' "$name"
	done
	named | grep -q . || echo "the report names no dependency"
	named | sort | uniq -d | sed 's/^/it is there twice: /'
	values Risk | grep -vxE 'low|medium|high' | sed 's/^/no such risk: /'
	for line in Update Risk 'Used in'; do
		[ "$(named | grep -c .)" -eq "$(values "$line" | grep -c .)" ] || echo "each dependency has one line $line"
	done
	# shellcheck disable=SC2016 # the same
	values 'Used in' | grep -oE '`[^`]+`' | tr -d '`' | while IFS= read -r path; do
		[ -e "$path" ] || printf 'there is no file %s\n' "$path"
	done
)
[ -z "$wrong" ] || { printf '%s\n' "$wrong" && exit 1; }
