import pytest

from codex_runner.app.secret_places import passwords_of_proxies


@pytest.mark.parametrize(
    ("address", "passwords"),
    [
        ("http://user:s3cret-word@proxy.example:3128", ["s3cret-word"]),
        ("http://user:s3cret%2Fword@proxy.example:3128", ["s3cret%2Fword", "s3cret/word"]),
        ("user:s3cret-word@proxy.example:3128", ["s3cret-word"]),
        ("http://proxy.example:3128", []),
        ("http://user@proxy.example:3128", []),
        ("", []),
        ("http://[broken", []),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_password_in_a_proxys_address_is_a_secret(name, address, passwords):
    found = passwords_of_proxies({name: address, "NO_PROXY": "a:b@c"})
    assert [secret.reveal() for secret in found] == passwords
    assert {secret.name for secret in found} <= {"PROXY_PASSWORD"}
