"""The scripted model service, the embedded Vault and the small forge: for the demo, and for the tests."""
