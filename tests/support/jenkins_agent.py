"""A Jenkins agent that runs the shell steps of a Jenkinsfile as the plugin durable-task does.

Each step is `sh -xe` in the workspace, with what Jenkins sets. What a build has started is known by
JENKINS_NODE_COOKIE, and when the build is aborted all of it gets SIGTERM at once.
"""

import os
import secrets
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from support.jenkinsfile import read, scripts
from support.runs import Left, processes_with


class JenkinsAgent:
    """One workspace, in a folder of its own. Its name has a space, as a job's may.

    `stored` are Jenkins' credentials: the text of each by its id.
    """

    def __init__(self, folder, stored):
        self.folder, self.stored = folder, stored
        self.workspace = folder / "workspace" / "the job"
        self.cookie = f"durable-{secrets.token_hex(16)}"
        self.log = folder / "log"
        (folder / "home").mkdir(parents=True)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "BRANCH_NAME": "main",
            "BUILD_NUMBER": "17",
            "BUILD_TAG": "jenkins-the job-17",
            "BUILD_URL": "https://jenkins.example.com/job/the%20job/17/",
            "CI": "true",
            "GIT_URL": "https://github.com/acme/app.git",
            "JENKINS_HOME": "/var/lib/jenkins",
            "JENKINS_NODE_COOKIE": self.cookie,
            "JOB_NAME": "the job",
            "NODE_NAME": "agent",
            "WORKSPACE": str(self.workspace),
            "WORKSPACE_TMP": f"{self.workspace}@tmp",
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }

    def check_out(self, repository):
        """Clone a repository into the workspace; return its pipeline."""
        subprocess.run(["git", "clone", "--quiet", repository, self.workspace], check=True)
        Path(self.environ["WORKSPACE_TMP"]).mkdir()
        return read((self.workspace / "Jenkinsfile").read_text())

    def start(self, stage):
        """Start the stage's one shell step, with the credentials that surround it."""
        ((command, bound),) = scripts(stage)
        script = self.folder / f"{secrets.token_hex(4)}.sh"
        script.write_text(command)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["sh", "-xe", script],
                cwd=self.workspace,
                env=self.environ | {name: self.stored[credential] for name, credential in bound.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def abort(self):
        """End the build as Jenkins does."""
        for pid in processes_with(f"JENKINS_NODE_COOKIE={self.cookie}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def left(self):
        """What carries the cookie, and the agent's commands, which are not to know it."""
        return processes_with(f"JENKINS_NODE_COOKIE={self.cookie}") | processes_with(self.environ["HOME"])

    def kept(self, pipeline):
        """The run that `post` would archive, once its report is in the place that `post` names."""
        always = pipeline.one("post").one("always")
        (report,) = self.workspace.glob(always.one("junit").arguments["testResults"])
        archived = self.workspace.glob(always.one("archiveArtifacts").arguments["artifacts"] + "/*")
        (run,) = {path.parent for path in archived if path.name == "run.json"}
        assert report.read_bytes() == (run / "junit.xml").read_bytes()
        return Left(run)
