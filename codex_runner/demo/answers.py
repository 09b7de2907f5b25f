"""The answers of the scripted model service, and the requests that it got."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from codex_runner.demo.model_wire import refuse
from codex_runner.demo.scenarios import BUILT_IN, Scenario
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from codex_runner.demo.model_request import ModelRequest
    from codex_runner.demo.model_wire import Answer

_ACCOUNT = {
    "email": "ci@example.com",
    "chatgpt_user_id": "user-123",
    "chatgpt_account_id": "account-123",
    "chatgpt_plan_type": "enterprise",
    "chatgpt_account_is_fedramp": False,
}


class Answers:
    """The scenarios, the accepted tokens, and the requests so far. Thread-safe.

    Prompts choose a scenario by the marker `SCN:name` (or `SCN:name:number`); others get the `default` one. `requests`
    lists all requests, oldest first. `url` is the service's address once it listens; `closing` is set when it ends.
    """

    url = ""

    def __init__(
        self, default: str, *, scenarios: Mapping[str, Scenario] | None, bearers: Collection[str] | None
    ) -> None:
        """Begin with these. `bearers` are the tokens to accept, None for any."""
        self.default = default
        self._scenarios = {**BUILT_IN, **(scenarios or {})}
        self._bearers = None if bearers is None else frozenset(bearers)
        self._endpoint_errors: dict[str, int] = {}
        self._policy: dict[str, Any] = {}
        self._asked: dict[tuple[str | None, int], int] = {}
        self._requests: list[ModelRequest] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def requests(self) -> list[ModelRequest]:
        """All requests so far."""
        with self._lock:
            return list(self._requests)

    @property
    def responses(self) -> list[ModelRequest]:
        """All requests for a model response so far."""
        return [request for request in self.requests if request.scenario is not None]

    def scenario(self, name: str, play: Scenario) -> None:
        """Register a scenario, and replace one of the same name."""
        with self._lock:
            self._scenarios[name] = play

    def require(self, policy: str) -> None:
        """Set the workspace's policy (requirements.toml) for every request with an access token."""
        fragment = {"id": "policy", "name": "Workspace", "contents": policy}
        self._policy = {"requirements_toml": {"enterprise_managed": [fragment]}}

    def accept(self, bearers: Collection[str] | None) -> None:
        """Accept only these tokens from now on. None accepts any token, and requests without one."""
        with self._lock:
            self._bearers = None if bearers is None else frozenset(bearers)

    def revoke(self, bearer: str) -> None:
        """Refuse this token from now on. Raises ConfigurationError if the service accepts any token."""
        with self._lock:
            if self._bearers is None:
                raise ConfigurationError(
                    "The model service accepts any token, so it cannot revoke one.",
                    remedy="Name the tokens that it accepts: accept({...}).",
                )
            self._bearers -= {bearer}

    def break_endpoint(self, name: str, status: int | None) -> None:
        """Answer every path that ends in `name` (`whoami`, `bundle`) with this HTTP status. None repairs it."""
        with self._lock:
            if status is None:
                self._endpoint_errors.pop(name, None)
            else:
                self._endpoint_errors[name] = status

    def admits(self, bearer: str | None) -> bool:
        """Whether a request with this token may be answered."""
        with self._lock:
            return self._bearers is None or bearer in self._bearers

    def note(self, request: ModelRequest) -> ModelRequest:
        """Record a request. Returns it with `asked`, the number of earlier requests for its scenario and step."""
        with self._lock:
            if request.scenario is not None:
                place = (request.scenario, request.step)
                request = replace(request, asked=self._asked.get(place, 0))
                self._asked[place] = request.asked + 1
            self._requests.append(request)
        return request

    def endpoint(self, path: str) -> tuple[int, Any]:
        """Answer codex's other requests: who owns the token, the workspace's policy, its accounts."""
        with self._lock:
            broken = next((status for name, status in self._endpoint_errors.items() if path.endswith(name)), None)
        if broken is not None:
            return broken, {"error": {"message": f"the service was told to answer {broken}"}}
        if path.endswith("/whoami"):
            return 200, _ACCOUNT
        if path.endswith(("/config/bundle", "/settings/user")):
            return 200, self._policy if path.endswith("bundle") else {}
        if path.endswith("/models"):
            return 200, {"models": []}  # codex then uses the models that it knows; it would complain about a 404
        if path.endswith("/accounts/check"):
            account = {"id": _ACCOUNT["chatgpt_account_id"], "workspace_backend_origin": self.url}
            return 200, {"accounts": [{**account, "account_routing_override": "NO_CONSTRAINT"}]}
        return 404, {"error": {"message": f"there is nothing at {path}"}}

    def play(self, request: ModelRequest) -> Answer:
        """Return the scenario's answer. If the scenario fails, the answer is an error that codex does not retry."""
        with self._lock:
            play = self._scenarios.get(request.scenario or "")
            known = ", ".join(sorted(self._scenarios))
        if play is None:
            return refuse(400, f"no scenario is named {request.scenario!r}; there are: {known}")
        try:
            return play(request.step, request)
        except Exception as error:  # noqa: BLE001 - a test's scenario may raise anything; the test must see it
            return refuse(400, f"the scenario {request.scenario!r} raised {error!r}")
