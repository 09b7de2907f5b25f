"""An agent of Azure Pipelines that runs the scripts of a pipeline as its task Bash@3 does.

Each is `bash --noprofile --norc`, in the folder of the sources. Variables are in the environment, in upper case, unless
they are secret: those a step asks for by `$(NAME)` in its `env`.
"""

import os
import re
import secrets
import subprocess

import yaml


class AzureAgent:
    """One build, in a folder of its own. `stored` are the pipeline's secret variables."""

    def __init__(self, folder, stored):
        self.folder, self.stored = folder, stored
        self.sources, self.temporary = folder / "1" / "s", folder / "_temp"
        self.temporary.mkdir(parents=True)
        self.tracking = f"vsts_{secrets.token_hex(16)}"
        self.log = ""
        (folder / "home").mkdir()
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "AGENT_ISSELFHOSTED": "0",
            "AGENT_TEMPDIRECTORY": str(self.temporary),
            "BUILD_BUILDID": "17",
            "BUILD_REASON": "Schedule",
            "BUILD_REPOSITORY_NAME": "acme/app",
            "BUILD_REPOSITORY_PROVIDER": "GitHub",
            "BUILD_REPOSITORY_URI": "https://github.com/acme/app",
            "BUILD_SOURCESDIRECTORY": str(self.sources),
            "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
            "SYSTEM_PULLREQUEST_ISFORK": "False",
            "SYSTEM_TEAMPROJECT": "app",
            "TF_BUILD": "True",
            "VSTS_PROCESS_LOOKUP_ID": self.tracking,
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }

    def run(self, repository, file="azure-pipelines.yml"):
        """Run the steps of the pipeline's one job. Returns the exit codes of its scripts, by their names."""
        subprocess.run(["git", "clone", "--quiet", repository, self.sources], check=True)
        (job,) = yaml.safe_load((self.sources / file).read_text())["jobs"]
        codes = {}
        for step in job["steps"]:
            if "bash" in step and (not any(codes.values()) or step.get("condition") == "always()"):
                codes[step["displayName"]] = self._script(step)
        return codes

    def _script(self, step):
        script = self.temporary / f"{secrets.token_hex(4)}.sh"
        script.write_text(step["bash"])
        asked = {name: self._expanded(value) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", script],
            cwd=self.sources,
            env=self.environ | asked,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.log += done.stdout
        return done.returncode

    def _expanded(self, value):
        """Replace macros. One of a variable that does not exist stays as it is."""
        return re.sub(r"\$\(([\w.]+)\)", lambda match: self.stored.get(match[1], match[0]), value)

    @property
    def commands(self):
        """What the log has the agent do, as it looks for it: anywhere in a line."""
        return re.findall(r"##vso\[([^\]]*)\](.*)", self.log)
