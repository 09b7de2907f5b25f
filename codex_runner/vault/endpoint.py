"""Vault's address and connection settings: ours, completed by VAULT_* as the vault command line reads them."""

from __future__ import annotations

import re
import ssl
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

from codex_runner.dataclass import dataclass
from codex_runner.domain.errors import ConfigurationError
from codex_runner.domain.secret import Secret
from codex_runner.domain.secret_names import proxy_passwords
from codex_runner.text.durations import parse_go_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codex_runner.domain.credential import VaultSettings

_SECONDS = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_LEAST: Final = 0.001  # seconds: less is none to a socket


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Vault server. Timeouts are in seconds; `attempts` is None if only the deadline counts."""

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

    @property
    def proxy_shown(self) -> str:
        """The proxy as messages name it, without user and password; empty if there is none."""
        return next((shown_address(proxy) for proxy in self.proxies.values()), "")

    def require_certificates(self) -> None:
        """Raise ConfigurationError if a file that is named for TLS cannot be used."""
        if isinstance(self.verify, str):
            require_ca(self.verify, "`vault.ca_file`, VAULT_CACERT or SSL_CERT_FILE")
        if self.certificate is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*self.certificate, password=_no_password)
            except OSError as error:
                raise ConfigurationError(
                    f"The TLS client certificate {self.certificate[0]} cannot be used with the key "
                    f"{self.certificate[1]}: {_why(error)}.",
                    remedy="Name two PEM files that belong together: the certificate and its key, without a password.",
                ) from None


def require_ca(path: str, name: str) -> None:
    """Raise ConfigurationError, which names the setting `name`, if `path` is no file or folder of certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"The CA file {path} holds no certificate that can be read: {_why(error)}.",
            remedy=f"Correct {name}: it must name a PEM file.",
        ) from None


def _no_password() -> str:
    return ""  # without it, OpenSSL asks on the terminal


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else error.strerror or type(error).__name__


def shown_address(address: str) -> str:
    """Return an address without user, password and path, for messages."""
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2].partition('/')[0]}"


def resolve_endpoint(settings: VaultSettings, environment: Mapping[str, str]) -> Endpoint:
    """Complete the settings with VAULT_* (or BAO_*) of `environment`. Raises ConfigurationError if they are wrong."""
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
        raise ConfigurationError("Vault's address is missing.", remedy=f"Set {name}.")
    remedy = f"Correct {name}."
    parts = _split(address)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError(
            f"Vault's address {shown_address(address)!r} is not an http(s) address without a user.", remedy=remedy
        )
    path = parts.path.rstrip("/")
    if path == "/v1" or path.endswith("/v1"):
        raise ConfigurationError(
            f"Vault's address {shown_address(address)!r} ends in /v1, which the runner adds by itself.",
            remedy=f"Leave /v1 out of {name}.",
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(f"Vault's address {shown_address(address)!r} has more than a path.", remedy=remedy)
    return address.rstrip("/")


def _split(address: str) -> SplitResult | None:
    """Parse an address. Returns None if it is malformed: unclosed brackets, or a port that is not a number."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def _verify(settings: VaultSettings, environment: Mapping[str, str]) -> bool | str:
    if (variable(environment, "SKIP_VERIFY") or "").lower() in {"1", "t", "true"}:
        raise ConfigurationError(
            "VAULT_SKIP_VERIFY is set: any server that answers would get the login and the token.",
            remedy="Unset it, and name the CA that signed the server's certificate in VAULT_CACERT.",
        )
    path = settings.ca_file or variable(environment, "CACERT") or variable(environment, "CAPATH")
    path = path or environment.get("SSL_CERT_FILE")
    if path and not Path(path).exists():
        raise ConfigurationError(
            f"The CA file {path} does not exist.", remedy="Correct `vault.ca_file`, VAULT_CACERT or SSL_CERT_FILE."
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
    parts = _split(url)
    if parts is None:
        return None
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if exempt and urllib.request.proxy_bypass_environment(parts.netloc, {"no": exempt}):  # type: ignore[attr-defined] # not in the stubs
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((environment[name] for name in names if environment.get(name)), None)


def _proxies(settings: VaultSettings, environment: Mapping[str, str], address: str) -> dict[str, str]:
    own = settings.proxy or variable(environment, "PROXY_ADDR") or variable(environment, "HTTP_PROXY")
    proxy = own or proxy_of(environment, address)
    if not proxy:
        return {}
    parts = _split(proxy if "://" in proxy else f"http://{proxy}")
    if parts is None or not parts.hostname:
        raise ConfigurationError(
            f"The proxy {shown_address(proxy)!r} is not an address.",
            remedy="Correct `vault.proxy`, VAULT_PROXY_ADDR, HTTPS_PROXY or HTTP_PROXY.",
        )
    return {urlsplit(address).scheme: proxy}


def _request_timeout(settings: VaultSettings, environment: Mapping[str, str]) -> float:
    text = variable(environment, "CLIENT_TIMEOUT")
    if text is None:
        return settings.request_timeout
    text = text.strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else parse_go_duration(text)
    if seconds is None:
        raise ConfigurationError(
            f"VAULT_CLIENT_TIMEOUT={text!r} is not a duration.", remedy="Write it as seconds, or as 30s or 1m30s."
        )
    return max(seconds, _LEAST) if seconds else settings.request_timeout  # 0 means the default, as for `vault`


def _attempts(environment: Mapping[str, str]) -> int | None:
    """Return how often a call may be tried, or None if only the deadline counts."""
    text = variable(environment, "MAX_RETRIES")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ConfigurationError(f"VAULT_MAX_RETRIES={text!r} is not a number.", remedy="Set it to 0 or more.")
    return int(text) + 1
