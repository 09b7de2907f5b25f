"""The scripted model service and the embedded Vault: for the demo, and for the tests."""
