"""Where Vault is and how it is reached: the settings, completed by VAULT_* as the vault command line reads them."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import proxy_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.credential import VaultSettings

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNIT: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Vault to talk to. Timeouts are in seconds; `attempts` is None where only the deadline counts."""

    address: str
    namespace: str | None
    verify: bool | str
    certificate: tuple[str, str] | None
    proxies: dict[str, str]
    connect_timeout: float
    request_timeout: float
    attempts: int | None

    @property
    def secrets(self) -> list[Secret]:
        """The passwords in the addresses of its proxies."""
        found = dict.fromkeys(word for address in self.proxies.values() for word in proxy_passwords(address))
        return [Secret("PROXY_PASSWORD", word) for word in found]


def resolve_endpoint(settings: VaultSettings, environment: Mapping[str, str]) -> Endpoint:
    """Complete the settings with VAULT_* (or BAO_*) of `environment`; ConfigurationError where they are wrong."""
    address = _address(settings, environment)
    return Endpoint(
        address=address,
        namespace=settings.namespace or variable(environment, "NAMESPACE"),
        verify=_verify(settings, environment),
        certificate=_certificate(settings, environment),
        proxies=_proxies(settings, environment, address),
        connect_timeout=settings.connect_timeout,
        request_timeout=_request_timeout(settings, environment),
        attempts=_attempts(environment),
    )


def variable(environment: Mapping[str, str], name: str) -> str | None:
    """Return BAO_<name> or VAULT_<name>, whichever is set and not empty, as the two command lines read them."""
    return environment.get(f"BAO_{name}") or environment.get(f"VAULT_{name}") or None


def _address(settings: VaultSettings, environment: Mapping[str, str]) -> str:
    address = getattr(settings.auth, "address", None)
    if settings.auth.method == "agent":
        address = address or variable(environment, "AGENT_ADDR")
        name = "`vault.auth.address` or VAULT_AGENT_ADDR"
    else:
        address = settings.address or variable(environment, "ADDR")
        name = "`vault.address` or VAULT_ADDR"
    if not address:
        raise ConfigurationError("It is not said where Vault is.", remedy=f"Set {name}.")
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        shown = f"{parts.scheme}://{parts.hostname}" if parts.password else address
        raise ConfigurationError(
            f"Vault's address {shown!r} is not an http(s) address without a user.", remedy=f"Correct {name}."
        )
    return address.rstrip("/")


def _verify(settings: VaultSettings, environment: Mapping[str, str]) -> bool | str:
    if (variable(environment, "SKIP_VERIFY") or "").lower() in {"1", "t", "true"}:
        raise ConfigurationError(
            "VAULT_SKIP_VERIFY is set: whoever answers would be given the login and the token.",
            remedy="Unset it, and name the CA that signed the server's certificate in VAULT_CACERT.",
        )
    path = settings.ca_file or variable(environment, "CACERT") or variable(environment, "CAPATH")
    path = path or environment.get("SSL_CERT_FILE")
    if path and not Path(path).exists():
        raise ConfigurationError(
            f"The CA file {path} is not there.", remedy="Correct `vault.ca_file`, VAULT_CACERT or SSL_CERT_FILE."
        )
    return path or True


def _certificate(settings: VaultSettings, environment: Mapping[str, str]) -> tuple[str, str] | None:
    cert = getattr(settings.auth, "cert_file", None) or variable(environment, "CLIENT_CERT")
    key = getattr(settings.auth, "key_file", None) or variable(environment, "CLIENT_KEY")
    if cert is None and settings.auth.method != "cert":
        return None
    for path, name in ((cert, "cert_file` or VAULT_CLIENT_CERT"), (key, "key_file` or VAULT_CLIENT_KEY")):
        if not path or not Path(path).is_file():
            raise ConfigurationError(
                f"The TLS client certificate is incomplete: {path or 'no file'} for `vault.auth.{name}.",
                remedy="Name two PEM files: the certificate and its key.",
            )
    return str(cert), str(key)


def proxy_of(environment: Mapping[str, str], url: str) -> str | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY give for this address, if any."""
    parts = urlsplit(url)
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if exempt and urllib.request.proxy_bypass_environment(parts.netloc, {"no": exempt}):  # type: ignore[attr-defined] # not in the stubs
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((environment[name] for name in names if environment.get(name)), None)


def _proxies(settings: VaultSettings, environment: Mapping[str, str], address: str) -> dict[str, str]:
    own = settings.proxy or variable(environment, "PROXY_ADDR") or variable(environment, "HTTP_PROXY")
    proxy = own or proxy_of(environment, address)
    return {urlsplit(address).scheme: proxy} if proxy else {}


def _request_timeout(settings: VaultSettings, environment: Mapping[str, str]) -> float:
    text = variable(environment, "CLIENT_TIMEOUT")
    if text is None:
        return settings.request_timeout
    matched = _DURATION.fullmatch(text.strip())
    if not matched:
        raise ConfigurationError(
            f"VAULT_CLIENT_TIMEOUT={text!r} is not a duration.", remedy="Write it as seconds, or as 30s or 1m."
        )
    return float(matched[1]) * _UNIT[matched[2]]


def _attempts(environment: Mapping[str, str]) -> int | None:
    """How often a call may be tried; None where only the deadline counts."""
    text = variable(environment, "MAX_RETRIES")
    if text is None:
        return None
    if not text.isdecimal():
        raise ConfigurationError(f"VAULT_MAX_RETRIES={text!r} is not a number.", remedy="Set it to 0 or more.")
    return int(text) + 1
