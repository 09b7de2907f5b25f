"""A scripted stand-in for the model service, on 127.0.0.1: the real codex binary talks to it as it would to OpenAI.

By hand: `python -m codex_runner.demo.model --scenario release_notes` prints what to put into codex's config.toml.
"""

from __future__ import annotations

import argparse
import signal
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import tomli_w

from codex_runner.demo.listener import Listener
from codex_runner.demo.scenarios import BUILT_IN, Scenario
from codex_runner.demo.wire import refuse
from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import TracebackType

    from codex_runner.demo.request import Request
    from codex_runner.demo.wire import Answer

PROVIDER = "scripted"

_ACCOUNT = {
    "email": "ci@example.com",
    "chatgpt_user_id": "user-123",
    "chatgpt_account_id": "account-123",
    "chatgpt_plan_type": "enterprise",
    "chatgpt_account_is_fedramp": False,
}


@dataclass(frozen=True, slots=True)
class Setup:
    """What makes codex use the service: tables of its config.toml, and its environment with the credential in clear."""

    config: dict[str, Any]
    environment: dict[str, str]


class ModelService:
    """The service while it runs: a context manager, listening once it has been made.

    Prompts choose a scenario by the marker `SCN:name` (or `SCN:name:number`); others get the `default` one. `requests`
    lists all that arrived, oldest first. Every method may be called from any thread while the service runs.
    """

    def __init__(
        self,
        default: str = "hi",
        *,
        scenarios: Mapping[str, Scenario] | None = None,
        bearers: Collection[str] | None = None,
        port: int = 0,
    ) -> None:
        """Listen on 127.0.0.1. `bearers` are the tokens to accept, None for anything; port 0 finds a free one."""
        self.default = default
        self._scenarios = {**BUILT_IN, **(scenarios or {})}
        self._bearers = None if bearers is None else frozenset(bearers)
        self._endpoint_errors: dict[str, int] = {}
        self._policy: dict[str, Any] = {}
        self._asked: dict[tuple[str | None, int], int] = {}
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self._server = Listener(("127.0.0.1", port), self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="model", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Return the service, which is already listening."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the service."""
        self.close()

    def close(self) -> None:
        """Stop listening, break every connection, wait for their threads. A second call does nothing."""
        self.closing.set()
        self._server.shutdown()
        self._server.break_connections()
        self._server.server_close()
        self._thread.join()

    @property
    def requests(self) -> list[Request]:
        """Everything that has arrived so far."""
        with self._lock:
            return list(self._requests)

    @property
    def responses(self) -> list[Request]:
        """The requests for a response of the model so far."""
        return [request for request in self.requests if request.scenario is not None]

    def scenario(self, name: str, play: Scenario) -> None:
        """Register a scenario, in place of another of that name."""
        with self._lock:
            self._scenarios[name] = play

    def require(self, policy: str) -> None:
        """Hand out a workspace's policy (requirements.toml), to whoever comes with an access token."""
        fragment = {"id": "policy", "name": "Workspace", "contents": policy}
        self._policy = {"requirements_toml": {"enterprise_managed": [fragment]}}

    def accept(self, bearers: Collection[str] | None) -> None:
        """Accept these tokens from now on and no others; None accepts anything, even no token at all."""
        with self._lock:
            self._bearers = None if bearers is None else frozenset(bearers)

    def revoke(self, bearer: str) -> None:
        """Refuse this token from now on. ConfigurationError where the service accepts anything."""
        with self._lock:
            if self._bearers is None:
                raise ConfigurationError(
                    "The model service accepts any token, so it cannot revoke one.",
                    remedy="Say which tokens it accepts: accept({...}).",
                )
            self._bearers -= {bearer}

    def break_endpoint(self, name: str, status: int | None) -> None:
        """Answer every path that ends in `name` (`whoami`, `bundle`) with this HTTP status; None repairs it."""
        with self._lock:
            if status is None:
                self._endpoint_errors.pop(name, None)
            else:
                self._endpoint_errors[name] = status

    def with_provider_key(self, key: str, *, env_key: str = "SCRIPTED_MODEL_KEY", **provider: Any) -> Setup:
        """Set codex up for a provider whose key stands in the variable `env_key`."""
        return Setup(self._config(provider, env_key=env_key), {env_key: key})

    def with_api_key(self, key: str, **provider: Any) -> Setup:
        """Set codex up for OpenAI's own kind of key, CODEX_API_KEY."""
        return Setup(self._config(provider, requires_openai_auth=True), {"CODEX_API_KEY": key})

    def with_access_token(self, token: str, **provider: Any) -> Setup:
        """Set codex up for a ChatGPT access token, CODEX_ACCESS_TOKEN, whose owner and policy codex asks for first.

        codex takes a token that begins with `at-` for a personal access token, and anything else for a JWT, which this
        service does not serve. Further arguments, here as above, are keys of codex's provider table.
        """
        config = self._config(provider, requires_openai_auth=True)
        config["chatgpt_base_url"] = f"{self.url}/backend-api/"
        return Setup(config, {"CODEX_ACCESS_TOKEN": token, "CODEX_AUTHAPI_BASE_URL": f"{self.url}/authapi"})

    def _config(self, overrides: Mapping[str, Any], **provider: Any) -> dict[str, Any]:
        table = {
            "name": PROVIDER,
            "base_url": f"{self.url}/v1",
            "wire_api": "responses",
            "supports_websockets": False,
            # codex's own retries, as few as show that it retries at all
            "request_max_retries": 0,
            "stream_max_retries": 1,
            **provider,
            **overrides,
        }
        return {"model_provider": PROVIDER, "model_providers": {PROVIDER: table}}

    def admits(self, bearer: str | None) -> bool:
        """Whether a request with this token may be answered."""
        with self._lock:
            return self._bearers is None or bearer in self._bearers

    def note(self, request: Request) -> Request:
        """Note a request, and tell it how often its like was here before."""
        with self._lock:
            if request.scenario is not None:
                place = (request.scenario, request.step)
                request = replace(request, asked=self._asked.get(place, 0))
                self._asked[place] = request.asked + 1
            self._requests.append(request)
        return request

    def endpoint(self, path: str) -> tuple[int, Any]:
        """Answer what codex asks beside responses: who owns the token, the workspace's policy, its accounts."""
        with self._lock:
            broken = next((status for name, status in self._endpoint_errors.items() if path.endswith(name)), None)
        if broken is not None:
            return broken, {"error": {"message": f"the service was told to answer {broken}"}}
        if path.endswith("/whoami"):
            return 200, _ACCOUNT
        if path.endswith(("/config/bundle", "/settings/user")):
            return 200, self._policy if path.endswith("bundle") else {}
        if path.endswith("/models"):
            return 200, {"models": []}  # codex goes on with those that it knows; a 404 it would complain about
        if path.endswith("/accounts/check"):
            account = {"id": _ACCOUNT["chatgpt_account_id"], "workspace_backend_origin": self.url}
            return 200, {"accounts": [{**account, "account_routing_override": "NO_CONSTRAINT"}]}
        return 404, {"error": {"message": f"nothing is at {path}"}}

    def play(self, request: Request) -> Answer:
        """Ask the scenario. What is wrong with it becomes an answer that codex shows and does not retry."""
        with self._lock:
            play = self._scenarios.get(request.scenario or "")
            known = ", ".join(sorted(self._scenarios))
        if play is None:
            return refuse(400, f"no scenario is named {request.scenario!r}; there are: {known}")
        try:
            return play(request.step, request)
        except Exception as error:  # noqa: BLE001 - a test's scenario may raise anything; the test must see it
            return refuse(400, f"the scenario {request.scenario!r} raised {error!r}")


def main() -> None:
    """Serve until interrupted, for a codex that is started by hand; print how to configure it and what it asks."""
    # A shell that starts it in the background has interrupts ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m codex_runner.demo.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, finds a free one")
    parser.add_argument("--scenario", default="hi", help="for prompts without SCN:name: " + ", ".join(BUILT_IN))
    parser.add_argument("--token", help="the only token to accept; without it, any is accepted")
    options = parser.parse_args()
    bearers = None if options.token is None else {options.token}
    with ModelService(options.scenario, bearers=bearers, port=options.port) as service:
        setup = service.with_provider_key(options.token or "any")
        lines = [f"# environment: {name}={value}" for name, value in setup.environment.items()]
        print("# config.toml of a CODEX_HOME", *lines, tomli_w.dumps(setup.config), sep="\n", flush=True)  # noqa: T201 - a program of its own
        seen = 0
        try:
            while not service.closing.wait(0.2):
                for request in service.requests[seen:]:
                    seen += 1
                    print(request.method, request.path, request.scenario or "", request.step, flush=True)  # noqa: T201 - the same
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
