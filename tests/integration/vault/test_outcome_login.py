"""`codex-runner outcomes` with a token from Vault: one login for all pull requests, which is given back."""

import pytest
from support.forge import APP, pushed, small_forge
from support.past_runs import PastRuns

from codex_runner.demo.forge_state import Pull

pytestmark = pytest.mark.needs_vault


def test_one_login_for_all_pull_requests_and_it_is_given_back(place, issuer, tmp_path):
    claims = place.jwt_role()
    place.put(token=APP)
    with small_forge(tmp_path) as forge:
        pushed(forge, "codex/docs")
        past = PastRuns(tmp_path / "past", "", forge.github_api)
        past.delivery["credential"] = {"path": place.path, "workflow": place.path}
        auth = {"method": "jwt", "role": place.name, "token_variable": "J"}
        past.configure(vault={"address": place.server.address, "auth": auth})
        past.environ["J"] = issuer.sign(claims).reveal()
        for number in (1, 2, 3):
            forge.project.add(Pull(0, "codex/docs", "main", "t", "bot"))
            past.add("delivered", number)
        assert past.job()["outcomes"]["open"] == 3
        assert past.environ["J"] not in past.ask().text
        past.environ["J"] = "nonsense"
        assert past.job(code=4)["outcomes"]["unknown"] == 3
    assert place.logins == []
    path = f"codex/data/{place.path}"
    asked = [entry["request"] for entry in place.server.audit() if entry["type"] == "request"]
    assert [request["operation"] for request in asked if request["path"] == path].count("read") == 2  # two commands
