"""An agent that wants no judge, or two: the claim on its run is out of its reach."""

import pytest

from codex_runner.demo.model_wire import message, reply, shell
from codex_runner.domain.event import Command

pytestmark = pytest.mark.needs_codex

# $1: the runs. What it can do to a claim: see it, take it, renew it, remove it, put something in its place.
FORGE = """
for run in '{0}'/*; do
	ls "$run/claims" && cat "$run/claims/"* && echo SEEN
	echo forged >"$run/claims/2" && echo TAKEN
	echo 99999999 >"$run/claims/1.beat" && echo RENEWED
	find "$run/claims" -delete && [ ! -e "$run/claims" ] && echo REMOVED
	mv "$run" "$run.away" && echo MOVED
done
find '{0}' -mindepth 1 -delete && echo REMOVED
echo tried
"""


@pytest.mark.parametrize("sandbox", ["read-only", "workspace-write"])
def test_the_agent_can_do_nothing_to_the_claim(project, service, sandbox):
    forge = FORGE.format(project.runs_folder)

    def thief(step, request):
        return reply(shell(forge)) if step == 0 else reply(message("done"))

    service.scenario("thief", thief)
    check = f"cd '{project.runs_folder}'/*/claims && [ -s 1 ] && [ ! -e 2 ] && grep -c docs 1"
    project.configure(prompt="SCN:thief", sandbox=sandbox, checks=[{"name": "claim", "run": check}])
    run = project.check_reports(project.run(), 0)
    assert run.cases["claim"] is None
    (command,) = [event["item"] for event in run.of_kind("item.completed") if event["item"]["kind"] == Command.kind]
    assert "tried" in command["output"]
    for word in ("SEEN", "TAKEN", "RENEWED", "REMOVED", "MOVED"):
        assert word not in command["output"].split()
    project.check_nothing_is_left()
