index=$(git rev-parse --absolute-git-dir)/codex-runner-index &&
GIT_INDEX_FILE=$index git read-tree "$base" &&
GIT_INDEX_FILE=$index git apply --cached --whitespace=nowarn "$patch" &&
GIT_INDEX_FILE=$index git write-tree &&
