"""All that knows Vault: logging in, reading the one token, giving back, setting up."""
