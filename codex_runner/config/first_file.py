"""The first configuration of a repository: `codex-runner init` writes it; its job needs a credential and no more.

Its first line is a directive of taplo and of the editors that use it: the schema that completes and checks the file.
"""

STARTER = """\
#:schema ./codex-runner.schema.json
# codex-runner's configuration. Every key is explained in docs/configuration.md of codex-runner.
# Durations are written 90s, 10m or 1h30m. Relative paths start at this file's folder.
version = 1

# output_dir = "codex-runner-out"         # each run leaves its log, JUnit report and artifacts in a folder of its own

# [codex]
# model = "gpt-5.5"                       # without it: codex's own default
# config = { model_reasoning_effort = "low" }   # any key of codex's config.toml
# env = { EXAMPLE = "value" }             # reaches codex, not the commands of the agent

# [defaults]                              # any key of a job, for all jobs
# timeout = "20m"

# Run it with: codex-runner run overview
[jobs.overview]
prompt = \"\"\"
Look at this folder: its README, its layout, the most important files.
Reply with a short overview for a reader who is new to it: what it is, how it is built, and where to
begin reading. Change nothing.
\"\"\"
# Where its key comes from: without this line the run ends with exit code 4. From the variable CODEX_API_KEY, for a
# start; from Vault, the better place, it is { path = "owner/repository/overview" } (docs/vault.md).
# credential = { kind = "api_key", source = "env" }
sandbox = "read-only"                     # or "workspace-write", if the agent is to change files
timeout = "10m"
budget = { tokens = 500_000 }             # what a run may cost: passing it ends the agent
# cwd = "."                               # the folder to work in
# workspace = { repo = ".", ref = "HEAD" }  # or a copy of that commit, made for the run and removed after it
# stall_timeout = "5m"                    # how long codex may be silent
# artifacts = ["CHANGES.md"]              # files to keep with the run
# i_understand = true                     # needed for sandbox = "danger-full-access" with a credential

# A job that changes a file, and a check that must pass afterwards. {{TOPIC}} is filled by --var TOPIC=...
# [jobs.document]
# prompt = "Write a page about {{TOPIC}} into docs/topic.md."
# sandbox = "workspace-write"
# artifacts = ["docs/topic.md"]
#
# [[jobs.document.checks]]
# name = "the page is there"
# run = "test -s docs/topic.md"

# What it changed, as one branch and one pull request that the next run updates. docs/delivery.md has the permissions
# that the token needs on each forge; the job's pipeline gets them from `codex-runner init github`, once this is here.
# [jobs.document.delivery]
# labels = ["documentation"]
# credential = { source = "env", variable = "GITHUB_TOKEN", allow_unexpiring = true }
"""


FIRST_JOB = "overview"
