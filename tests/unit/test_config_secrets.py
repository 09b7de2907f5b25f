"""What of `codex.config` is secret: what codex has keys for, and what says so itself; and what stays readable."""

import base64
import json

import pytest

from codex_runner.domain.job import CodexSettings
from codex_runner.domain.secret import Secret
from codex_runner.engine.config_secrets import secrets_of, without_secrets
from codex_runner.redaction.redactor import Redactor

IT = "s3cret-Word-1"

HOLDS = {
    "a variable of an MCP server": {"mcp_servers": {"it": {"command": "x", "env": {"API_TOKEN": IT}}}},
    "a variable with an odd name": {"mcp_servers": {'a "b"\n': {"env": {"X Y": IT}}}},
    "a header of an MCP server": {"mcp_servers": {"it": {"http_headers": {"X-Api-Key": IT}}}},
    "a bearer token of an MCP server": {"mcp_servers": {"it": {"bearer_token": IT}}},
    "an argument with its value": {"mcp_servers": {"it": {"args": ["serve", f"--api-key={IT}"]}}},
    "an argument before its value": {"mcp_servers": {"it": {"args": ["serve", "--token", IT]}}},
    "an argument that is a header": {"mcp_servers": {"it": {"args": ["--header", f"Authorization: Bearer {IT}"]}}},
    "an argument that is another header": {"mcp_servers": {"it": {"args": ["-H", f"X-Api-Key: {IT}"]}}},
    "the address of an MCP server": {"mcp_servers": {"it": {"url": f"https://ada:{IT}@example.com/mcp"}}},
    "a query in an address": {"mcp_servers": {"it": {"url": f"https://example.com/mcp?api_key={IT}"}}},
    "a header of a provider": {"model_providers": {"it": {"http_headers": {"Authorization": f"Bearer {IT}"}}}},
    "a provider's query": {"model_providers": {"it": {"query_params": {"subscription-key": IT}}}},
    "a provider's bearer token": {"model_providers": {"it": {"experimental_bearer_token": IT}}},
    "an argument of a provider's command": {"model_providers": {"it": {"auth": {"args": ["--password", IT]}}}},
    "a variable of the commands": {"shell_environment_policy": {"set": {"NPM_TOKEN": IT}}},
    "a document in a variable": {
        "shell_environment_policy": {"set": {"SETTINGS": json.dumps({"user": "a", "pw": IT})}}
    },
    "a header of telemetry": {"otel": {"exporter": {"otlp-http": {"headers": {"x-api-key": IT}}}}},
    "a header of spans": {"otel": {"trace_exporter": {"otlp-grpc": {"headers": {"x-otlp": IT}}}}},
    "within a profile": {"profiles": {"ci": {"model_providers": {"it": {"http_headers": {"X-Key": IT}}}}}},
    "a program that is told": {"notify": ["tell", "--secret", IT]},
}


@pytest.mark.parametrize("way", HOLDS)
def test_what_is_secret(way):
    codex = CodexSettings(config=HOLDS[way])
    redactor = Redactor(secrets_of(codex))
    assert IT not in redactor.text(f"it is {IT}, says the agent")
    shown = json.dumps(without_secrets(codex).config)
    assert IT not in shown
    assert json.loads(redactor.text(json.dumps({"text": f"a {IT}"})))["text"].startswith("a ***codex.config.")


def test_basic_authentication_in_a_header():
    login = base64.b64encode(f"ada:{IT}".encode()).decode()
    codex = CodexSettings(config={"mcp_servers": {"it": {"http_headers": {"Authorization": f"Basic {login}"}}}})
    redactor = Redactor(secrets_of(codex))
    assert login not in redactor.text(f"got {login}")
    assert IT not in redactor.text(f"got {IT}")


PLAIN = {
    "model": "gpt-5.1-codex-max",
    "cli_auth_credentials_store": "keyring",
    "developer_instructions": "Password: never print one. A token= is none of yours.\nBe brief.",
    "model_providers": {
        "it": {
            "name": "Gate 7 of Ours",
            "base_url": "https://gate.example.com/v1",
            "env_key": "GATE_KEY_7_OF_OURS",
            "env_key_instructions": "Ask Ada for GATE_KEY_7_OF_OURS.",
            "env_http_headers": {"X-Api-Key": "HEADER_OF_GATE_7"},
            "query_params": {"api-version": "2025-04-01-preview"},
            "http_headers": {"Content-Type": "application/json", "OpenAI-Organization": "org-77aa88bb"},
        }
    },
    "mcp_servers": {
        "it": {
            "command": "npx",
            "args": ["-y", "@example/mcp-server@1.2.3", "--root", "/srv/Project1"],
            "bearer_token_env_var": "TOKEN_OF_MCP_1",
            "env_vars": ["OTHER_TOKEN_1"],
            "env": {"RUST_LOG": "codex=debug", "NODE_ENV": "production-2", "HOME": "/home/ci-1"},
        }
    },
    "shell_environment_policy": {"inherit": "core", "set": {"CI": "true", "TZ": "utc"}, "include_only": ["PATH1_*"]},
    "features": {"use_legacy_landlock": False},
    "tui": {"set": "Solarized-Dark-8"},
}


def test_what_is_none_stays_readable():
    codex = CodexSettings(config=PLAIN)
    assert without_secrets(codex).config == PLAIN
    assert secrets_of(codex) == []


def test_each_has_a_name_of_its_own():
    """`attach` knows them by their names."""
    config = {
        "mcp_servers": {"a": {"env": {"API_TOKEN": "s3cret-Word-1"}}, "b": {"env": {"API_TOKEN": "s3cret-Word-2"}}},
        "notify": ["--token", "s3cret-Word-3", "--token", "s3cret-Word-4"],
    }
    secrets = secrets_of(CodexSettings(config=config, environment={"K": Secret("K", "s3cret-Word-5")}))
    assert [secret.name for secret in secrets] == [
        "K",
        "codex.config.mcp_servers.a.env.API_TOKEN",
        "codex.config.mcp_servers.b.env.API_TOKEN",
        "codex.config.notify.--token",
        "codex.config.notify.--token.2",
    ]
