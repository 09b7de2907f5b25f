"""A scripted model service on 127.0.0.1: the real codex binary talks to it as to OpenAI.

By hand: `python -m codex_runner.demo.model --scenario release_notes` prints the tables for codex's config.toml.
"""

from __future__ import annotations

import argparse
import signal
from typing import TYPE_CHECKING, Any, Self

import tomli_w

from codex_runner.dataclass import dataclass
from codex_runner.demo.answers import Answers
from codex_runner.demo.listener import Listener
from codex_runner.demo.model_http import ModelHandler
from codex_runner.demo.scenarios import BUILT_IN, Scenario

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from types import TracebackType


PROVIDER = "scripted"


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup that makes codex use the service: tables of its config.toml, and variables with the credential."""

    config: dict[str, Any]
    environment: dict[str, str]


class ModelService(Answers):
    """The running service: a context manager that listens from its creation."""

    def __init__(
        self,
        default: str = "hi",
        *,
        scenarios: Mapping[str, Scenario] | None = None,
        bearers: Collection[str] | None = None,
        port: int = 0,
    ) -> None:
        """Listen on 127.0.0.1; port 0 picks a free one. For the rest see Answers."""
        super().__init__(default, scenarios=scenarios, bearers=bearers)
        self._server = Listener(port, self, ModelHandler)
        self.port, self.url = self._server.port, self._server.url
        self._server.start()

    def __enter__(self) -> Self:
        """Return the service, which is already listening."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the service."""
        self.close()

    def close(self) -> None:
        """Stop listening, break every connection, wait for their threads. Idempotent."""
        self.closing.set()
        self._server.stop()

    def with_provider_key(self, key: str, *, env_key: str = "SCRIPTED_MODEL_KEY", **provider: Any) -> Setup:
        """Set codex up for a provider whose key is in the variable `env_key`."""
        return Setup(self._config(provider, env_key=env_key), {env_key: key})

    def with_api_key(self, key: str, **provider: Any) -> Setup:
        """Set codex up for OpenAI's own kind of key, CODEX_API_KEY."""
        return Setup(self._config(provider, requires_openai_auth=True), {"CODEX_API_KEY": key})

    def with_access_token(self, token: str, **provider: Any) -> Setup:
        """Set codex up for a ChatGPT access token, CODEX_ACCESS_TOKEN. codex first requests its owner and policy.

        codex takes a token that begins with `at-` for a personal access token, and any other for a JWT, which this
        service does not support. Further arguments, here as above, are keys of codex's provider table.
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
            # codex's own retries: as few as possible, but one, which shows that it retries
            "request_max_retries": 0,
            "stream_max_retries": 1,
            **provider,
            **overrides,
        }
        return {"model_provider": PROVIDER, "model_providers": {PROVIDER: table}}


def main() -> None:
    """Serve a codex that is started by hand, until interrupted. Prints its configuration and its requests."""
    # A shell that starts this in the background ignores SIGINT, and this process inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="python -m codex_runner.demo.model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0, the default, picks a free one")
    parser.add_argument("--scenario", default="hi", help="for prompts without SCN:name: " + ", ".join(BUILT_IN))
    parser.add_argument("--token", help="the only token to accept; the default accepts any")
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
