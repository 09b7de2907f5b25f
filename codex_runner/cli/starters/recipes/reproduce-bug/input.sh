# The input of the job: the body of the oldest open issue that has the label `reproduce`, by GitHub's command line. Without
# one it is empty, and the job's gate skips the run. Elsewhere, write the issue into the file by hand, or adapt the command.
#
# Anybody may write an issue, so a person reads it first and then gives it the label. An issue that was edited after that is
# left out. Remove the label when the issue is done.
set -u
cd "$(dirname -- "$0")/.." || exit 1

# shellcheck disable=SC2016 # variables of GraphQL
query='query($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) {
    issues(labels: ["reproduce"], states: OPEN, first: 20, orderBy: {field: CREATED_AT, direction: ASC}) {
      nodes {
        number body lastEditedAt
        timelineItems(itemTypes: LABELED_EVENT, last: 50) { nodes { ... on LabeledEvent { createdAt label { name } } } }
      }
    }
  }
}'
# Times are ISO 8601 in UTC, so their order is that of their text.
# shellcheck disable=SC2016 # variables of jq
unedited='[.data.repository.issues.nodes[]
  | ([.timelineItems.nodes[] | select(.label.name == "reproduce") | .createdAt] | max) as $labelled
  | select($labelled != null and (.lastEditedAt == null or .lastEditedAt < $labelled))
][0] // empty | "Issue #\(.number)\n\n\(.body)"'

mkdir -p codex-input
# Ignored by git: what a run begins with is then the commit alone, and the gate remembers a run that was green.
echo '*' >codex-input/.gitignore
gh api graphql -F owner='{owner}' -F name='{repo}' -f query="$query" --jq "$unedited" >codex-input/@JOB@.txt
