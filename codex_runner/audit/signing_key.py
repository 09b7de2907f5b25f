"""The key that signs statements: an EC private key on P-256. The only module that knows `cryptography`, an extra."""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib.util
from typing import TYPE_CHECKING, Any

from codex_runner.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from codex_runner.domain.secret import Secret

_MAKE = "Make one with `openssl ecparam -name prime256v1 -genkey -noout -out KEY`."


class SigningKey:
    """A private key. `id` is the SHA-256 of its public key (SubjectPublicKeyInfo, DER), in hexadecimal."""

    def __init__(self, secret: Secret, where: str) -> None:
        """Read a PEM key, or the base64 of a DER key in one line. `where` is its place, for messages.

        Raises ConfigurationError if the extra is missing, or if it is not an EC private key on P-256.
        """
        require_library()
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = _load(secret, where)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            kind = f"an EC key on {key.curve.name}" if isinstance(key, ec.EllipticCurvePrivateKey) else "another kind"
            raise ConfigurationError(f"{where} holds {kind} of key; audits are signed with EC P-256.", remedy=_MAKE)
        self._key = key
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = hashlib.sha256(public).hexdigest()

    def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`: ECDSA with SHA-256, DER."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


def require_library() -> None:
    """Raise ConfigurationError if the extra is not installed: before a key is read."""
    if importlib.util.find_spec("cryptography") is None:
        raise ConfigurationError(
            "A statement cannot be signed: the package `cryptography` is not installed.",
            remedy="Install it with `pip install 'codex-runner[audit]'`.",
        )


def _load(secret: Secret, where: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

    text = secret.reveal()
    try:
        if "-----BEGIN" in text:
            return load_pem_private_key(text.encode(), password=None)
        return load_der_private_key(base64.b64decode(text, validate=True), password=None)
    except TypeError:
        raise ConfigurationError(
            f"{where} holds an encrypted key, and there is no place for its password.",
            remedy="Store the key without a password where only the runner reads it.",
        ) from None
    except (ValueError, UnsupportedAlgorithm, binascii.Error):  # without the cause, which might quote the key
        raise ConfigurationError(f"{where} holds no private key in PEM.", remedy=_MAKE) from None
