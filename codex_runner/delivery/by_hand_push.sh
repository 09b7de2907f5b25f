commit=$(git commit-tree "$tree" -p "$base" -m "$message") &&
git push --force-with-lease="refs/heads/$branch:$tip" "$remote" "$commit:refs/heads/$branch"
