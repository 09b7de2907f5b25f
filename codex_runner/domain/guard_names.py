"""Names of guards on which more than one room depends."""

from typing import Final

REVOCATION: Final = "vault-revocation"
"""The guard on a login at Vault: it was given back."""

OF_DELIVERY: Final = "delivery "
"""The beginning of the names of all guards of a delivery's credential. They judge the delivery, not the agent's run."""
