"""Documents as secrets: what of real ones is redacted wherever it is printed, and what of them stays readable."""

import base64
import json
import textwrap

import pytest

from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor
from codex_runner.redaction.secret_parts import parts

# What a private key's lines look like; the last is shorter.
BODY = [base64.b64encode(bytes((n * 37 + k * 11) % 256 for k in range(48))).decode() for n in range(1, 5)]
LAST = "Zm9vYmFyYmF6cXV4Zm9v"


def pem(label):
    return "\n".join([f"-----BEGIN {label}-----", *BODY, LAST, f"-----END {label}-----", ""])


CERTIFICATE = base64.b64encode(
    b"-----BEGIN CERTIFICATE-----\nMIIBcDCCARagAwIBAgIQ\n-----END CERTIFICATE-----\n"
).decode()
HELD_KEY = base64.b64encode(pem("EC PRIVATE KEY").encode()).decode()

# Name: the document, what of it must be masked alone, and what must not be.
# ruff: noqa: ISC004, E501 - a text of several lines is one; lines are as long as a row of the table
SHAPES = {
    "a service account of Google": (
        json.dumps(
            {
                "type": "service_account",
                "project_id": "acme-production-4711",
                "private_key_id": "0123456789abcdef0123456789abcdef01234567",
                "private_key": pem("PRIVATE KEY"),
                "client_email": "robot@acme-production-4711.iam.gserviceaccount.com",
                "client_id": "123456789012345678901",
                "auth_uri": "https://accounts.google.com/o/oauth2/auth",
                "token_uri": "https://oauth2.googleapis.com/token",
                "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/robot%40acme.iam",
                "universe_domain": "googleapis.com",
            },
            indent=2,
        ),
        [*BODY, LAST],
        [
            *("service_account", "acme-production-4711", "robot@acme-production-4711.iam.gserviceaccount.com"),
            *("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/auth", "googleapis.com"),
            *('  "type": "service_account",', "123456789012345678901", "    }", '"private_key": "'),
        ],
    ),
    "the default credentials of gcloud": (
        json.dumps(
            {"client_id": "32555940559.apps", "client_secret": "ZmssLNjJy2998hD4", "refresh_token": "1//0gRe-x"}
        ),
        ["ZmssLNjJy2998hD4", "1//0gRe-x"],
        ["32555940559.apps", "refresh_token"],
    ),
    "a service principal of Azure": (
        json.dumps(
            {
                "clientId": "11111111-2222-3333-4444-555555555555",
                "clientSecret": "abc8Q~Very_Long-Secret.Value",
                "subscriptionId": "66666666-7777-8888-9999-000000000000",
                "tenantId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                "activeDirectoryEndpointUrl": "https://login.microsoftonline.com",
            }
        ),
        ["abc8Q~Very_Long-Secret.Value"],
        [
            *("11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
            *("https://login.microsoftonline.com", "clientSecret"),
        ],
    ),
    "kubeconfig": (
        textwrap.dedent(
            f"""\
            apiVersion: v1
            kind: Config
            clusters:
            - name: production-eu
              cluster:
                server: https://k8s.example.com:6443
                certificate-authority-data: {CERTIFICATE}
            users:
            - name: deployer
              user:
                client-certificate-data: {CERTIFICATE}
                client-key-data: {HELD_KEY}
            - name: robot
              user:
                token: ZXlKaGJHY2lPaUpTVXpJMU5pSXNJ
            contexts:
            - context:
                cluster: production-eu
                user: deployer
              name: production
            current-context: production
            """
        ),
        [HELD_KEY, "ZXlKaGJHY2lPaUpTVXpJMU5pSXNJ", *BODY],
        ["https://k8s.example.com:6443", "production-eu", "deployer", "kind: Config", "  user:", CERTIFICATE, "users:"],
    ),
    "a configuration of docker": (
        json.dumps(
            {
                "auths": {
                    "https://index.docker.io/v1/": {
                        "auth": base64.b64encode(b"ada:dckr_pat_0fAda").decode(),
                        "email": "ada@example.com",
                    }
                },
                "credsStore": "desktop",
            },
            indent="\t",
        ),
        ["dckr_pat_0fAda", base64.b64encode(b"ada:dckr_pat_0fAda").decode()],
        ["https://index.docker.io/v1/", "ada@example.com", '\t"auths": {'],
    ),
    ".npmrc": (
        "registry=https://npm.example.com/\n//npm.example.com/:_authToken=NpmTokenOf2026\nalways-auth=true\n"
        "//other.example.com/:username=ada\n//other.example.com/:_password=czNjcmV0LW5wbQ==\nemail=ada@example.com\n",
        ["NpmTokenOf2026", "czNjcmV0LW5wbQ==", "s3cret-npm"],
        ["https://npm.example.com/", "ada@example.com", "always-auth=true", "//other.example.com/:username=ada"],
    ),
    ".netrc": (
        "machine github.com login ada password NetrcWord1\nmachine api.example.com\n  login ada\n  password other-word-2\n",
        ["NetrcWord1", "other-word-2"],
        ["github.com", "api.example.com", "machine", "  login ada"],
    ),
    ".env": (
        "# of production\nexport API_TOKEN='Tok3n-of-the-api'\nDB_PASSWORD=\"pa ss=Word\" # rotate it\nNODE_ENV=production\n"
        "PORT=8080\nLOG_DIR=/var/log/app\nSTART_DATE=2026-01-31\nAWS_REGION=eu-central-1\nAPP_NAME=release-notes\n",
        ["Tok3n-of-the-api", "pa ss=Word"],
        ["/var/log/app", "2026-01-31", "eu-central-1", "release-notes", "8080", "# of production"],
    ),
    "the address of a webhook in .env": (
        "SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T0123ABCD/B0123ABCD/AbCdEfGhIjKlMnOpQrStUv01\nMODE=fast\n",
        ["AbCdEfGhIjKlMnOpQrStUv01", "https://hooks.slack.com/services/T0123ABCD/B0123ABCD/AbCdEfGhIjKlMnOpQrStUv01"],
        ["https://hooks.slack.com/", "MODE=fast"],
    ),
    "a DSN": (
        "postgresql://app:p%40ss-word9@db.example.com:5432/orders?sslmode=require",
        ["p%40ss-word9", "p@ss-word9"],
        ["db.example.com:5432", "orders", "sslmode=require"],
    ),
    "a connection string of .NET": (
        "Server=tcp:db.example.com,1433;Database=orders;User ID=app;Password=S3cret.Word!;Encrypt=True;",
        ["S3cret.Word!"],
        ["db.example.com", "Database=orders", "Encrypt=True"],
    ),
    "a storage account of Azure": (
        "DefaultEndpointsProtocol=https;AccountName=acmestore;AccountKey=Zm9vYmFyMTIzNDU2Nzg5MA==;"
        "EndpointSuffix=core.windows.net",
        ["Zm9vYmFyMTIzNDU2Nzg5MA=="],
        ["acmestore", "core.windows.net"],
    ),
    "libpq": (
        "host=db.example.com user=app password=Lib-pq-word1 dbname=orders",
        ["Lib-pq-word1"],
        ["db.example.com", "orders"],
    ),
    "credentials of AWS": (
        "[default]\naws_access_key_id = NOTAREALKEYID\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
        "region = eu-central-1\n\n[profile production]\nrole_arn = arn:aws:iam::123456789012:role/deployer\noutput = json\n"
        "aws_session_token = FwoGZXIvYXdzEXAMPLE//token==\n",
        ["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE//token=="],
        [
            "[default]",
            "[profile production]",
            "eu-central-1",
            "arn:aws:iam::123456789012:role/deployer",
            "output = json",
        ],
    ),
    ".terraformrc": (
        'credentials "app.terraform.io" {\n  token = "AbC.atlasv1.0123456789"\n}\nplugin_cache_dir = "/home/ada/.terraform.d"\n',
        ["AbC.atlasv1.0123456789"],
        ["app.terraform.io", "/home/ada/.terraform.d", 'credentials "app.terraform.io" {'],
    ),
    "hosts.yml of gh": (
        "github.com:\n    oauth_token: TokenOfAdaAtGitHub\n    user: ada-lovelace\n    git_protocol: https\n",
        ["TokenOfAdaAtGitHub"],
        ["github.com", "ada-lovelace", "git_protocol: https"],
    ),
    ".pypirc": (
        "[distutils]\nindex-servers =\n    internal\n\n[internal]\nrepository = https://pypi.example.com/legacy/\n"
        "username = __token__\npassword = PyPI-word-of-2026\n",
        ["PyPI-word-of-2026"],
        ["https://pypi.example.com/legacy/", "__token__", "[distutils]"],
    ),
    "pip.conf": (
        "[global]\nindex-url = https://ada:Pip-Word-7@pypi.example.com/simple\ntimeout = 60\n",
        ["Pip-Word-7"],
        ["pypi.example.com/simple", "timeout = 60", "[global]"],
    ),
    ".git-credentials": (
        "https://ada:Git-Word-1@github.com\nhttps://x-access-token:Git-Word-2@gitlab.example.com\n",
        ["Git-Word-1", "Git-Word-2"],
        ["github.com", "gitlab.example.com"],
    ),
    ".pgpass": (
        "db.example.com:5432:orders:app:Pg-Pass-1\n*:*:*:admin:Pg-Pass-2\n",
        ["Pg-Pass-1", "Pg-Pass-2"],
        ["db.example.com:5432:orders:app:", "admin"],
    ),
    "settings.xml of Maven": (
        "<settings>\n  <servers>\n    <server>\n      <id>internal-releases</id>\n      <username>deployer</username>\n"
        "      <password>Maven-Word-1</password>\n    </server>\n  </servers>\n</settings>\n",
        ["Maven-Word-1"],
        ["internal-releases", "deployer", "    </server>", "<password>"],
    ),
    "credentials.toml of cargo": (
        '[registry]\ntoken = "cio-Of-Ada-2026"\n',
        ["cio-Of-Ada-2026"],
        ["[registry]", "token"],
    ),
    "a key of OpenSSH": (pem("OPENSSH PRIVATE KEY"), [*BODY, LAST], ["-----BEGIN CERTIFICATE-----"]),
    "a key with its certificate": (
        pem("RSA PRIVATE KEY") + "-----BEGIN CERTIFICATE-----\nMIIBcDCCARagAwIBAgIQAAAA\n-----END CERTIFICATE-----\n",
        [*BODY, LAST],
        ["MIIBcDCCARagAwIBAgIQAAAA"],
    ),
    "a reply of Vault": (
        json.dumps({"data": {"role_name": "docs", "secret_id": "5c1d0e2f-aaaa-bbbb", "secret_id_ttl": 600}}, indent=4),
        ["5c1d0e2f-aaaa-bbbb"],
        ["docs", "        }", "secret_id_ttl"],
    ),
    "what Vault says when it is initialized": (
        "Unseal Key 1: sP/4C/fwIDjJmHEC2bi/1Pa43uKhsUQMmiB31GRzFc0R\nInitial Root Token: s.Xyz123Abc456\n",
        ["sP/4C/fwIDjJmHEC2bi/1Pa43uKhsUQMmiB31GRzFc0R", "s.Xyz123Abc456"],
        ["Unseal Key 1", "Initial Root Token"],
    ),
    ".curlrc": (
        'user-agent = "nightly"\nheader = "Authorization: Bearer Curl-Word-3"\nurl = "https://example.com/v1"\n',
        ["Curl-Word-3"],
        ["https://example.com/v1", "Authorization"],
    ),
    "a table in one line": (
        "users: {name: deployer, token: Inline-Word-4}\ndebug: {'password': 'Py-Word-5', 'user': 'ada-lovelace'}\n",
        ["Inline-Word-4", "Py-Word-5"],
        ["deployer", "ada-lovelace"],
    ),
    "the address of a database in Java": (
        "spring.datasource.url=jdbc:postgresql://db.example.com:5432/orders?user=app&password=Jdbc-Word-6\n"
        "spring.datasource.password=Spring-Word-7\n",
        ["Jdbc-Word-6", "Spring-Word-7"],
        ["db.example.com:5432", "spring.datasource.password"],
    ),
    "a Secret of Kubernetes": (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: database\ndata:\n  password: czNjcmV0LWluLWs4cw==\n"
        "  address: aHR0cHM6Ly9leGFtcGxlLmNvbQ==\nstringData:\n  plain: Pl4in-value-8\n",
        ["czNjcmV0LWluLWs4cw==", "s3cret-in-k8s", "Pl4in-value-8"],
        ["kind: Secret", "database", "https://example.com"],
    ),
    "lines that say nothing of themselves": (
        "    first-Line-of-1\n\tsecond-Line-of-2\n",
        ["first-Line-of-1", "second-Line-of-2"],
        ["first", "second"],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_redacted_and_what_stays_readable(name):
    document, hidden, shown = SHAPES[name]
    redactor = Redactor([Secret("DOC", document)])
    for text in hidden:
        assert redactor.text(f"it printed <{text}> alone") == "it printed <***DOC***> alone", text
        assert redactor.found(f'{{"output": {json.dumps(text)}}}'.encode()), text
    for text in shown:
        assert redactor.text(f"it printed <{text}> alone") == f"it printed <{text}> alone", text
    for told in (document, *map(str.strip, document.splitlines())):
        kept = redactor.text(told)
        assert not any(text in kept for text in hidden), told


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("indent", [None, 1, 8])
def test_a_document_is_written_anew(name, indent):
    """By jq, yq or a serializer: what holds its fields is masked, however it stands there."""
    document, hidden, _ = SHAPES[name]
    redactor = Redactor([Secret("DOC", document)])
    told = redactor.text(json.dumps({"again": [{"value": text} for text in hidden]}, indent=indent))
    assert [each["value"] for each in json.loads(told)["again"]] == ["***DOC***"] * len(hidden)


def test_what_a_run_says_itself_is_no_leak():
    """A pretty-printed document of several levels has lines that stand in each report; plain words stand anywhere."""
    document = json.dumps({"a": {"b": {"place": "production", "key": "K3y-of-the-stage"}}}, indent=4)
    redactor = Redactor([Secret("DOC", document)])
    report = json.dumps({"x": {"y": {"job": "production"}}}, indent=4).encode()
    assert redactor.names_in(report) == set()
    assert redactor.text("production") == "***DOC***"
    assert redactor.names_in(b"K3y-of-the-stage") == {"DOC"}
    redactor.pass_over(b'{"prompt": "use K3y-of-the-stage"}')
    assert redactor.names_in(b"K3y-of-the-stage") == set()


@pytest.mark.parametrize(
    "value", ["", "{", "[]", "{}", "null", '{"a": NaN}', "[" * 5000, "=\n=\n;;;", ":", "\n\n", "a=b"]
)
def test_what_is_no_document(value):
    assert parts(value) == set()


def test_a_document_of_any_depth():
    deep = "[" * 500 + '"Deep-secret-1"' + "]" * 500
    assert parts(deep) == {"Deep-secret-1"}


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize(
    "escape", ["%{:02X}", "%{:02x}", "\\u{:04x}", "\\u{:04X}", "\\x{:02x}"], ids=["%4A", "%4a", "u004a", "u004A", "x4a"]
)
def test_a_value_that_is_escaped_whole(escape, times):
    secret = "s3cret/Key+1 \u00e9"
    redactor = Redactor([Secret("KEY", secret)])
    units = secret.encode() if "02" in escape else [ord(each) for each in secret]
    text = "".join(escape.format(each) for each in units)
    for _ in range(times - 1):
        text = text.replace("%", "%25") if "%" in escape else json.dumps(text)[1:-1]
    assert redactor.text(f"it is {text}.") == "it is ***KEY***."
    assert redactor.names_in(text.encode()) == {"KEY"}
    half = text[: len(text) // 3] + text[len(text) // 2 :]
    assert redactor.text(half) == half


def test_a_value_that_is_escaped_in_part_and_what_is_not_one():
    redactor = Redactor([Secret("KEY", "s3cret/Key+1")])
    assert redactor.text("GET /?q=%73%33cret/Key%2B1&x=%20") == "GET /?q=***KEY***&x=%20"
    assert json.loads(redactor(b'{"t": "\\u0073\\u0033cret\\/Key+1", "u": "\\u0041"}'))["u"] == "A"
    for text in ("100%25 of %41 and \\u0041", "50%", "%", "\\u00", "%zz", "\\ud800\\u0041", "a\\xzz"):
        assert redactor.text(text) == text


def test_json_that_may_stand_in_a_page():
    redactor = Redactor([Secret("KEY", "s3cret&<Key>")])
    assert redactor(b'{"t": "s3cret\\u0026\\u003cKey\\u003e"}') == b'{"t": "***KEY***"}'


def test_a_token_that_nobody_told_of_is_seen_when_it_is_escaped_whole():
    token = "ghp_" + "a1B2" * 9
    assert Redactor().text("".join(f"%{ord(each):02x}" for each in token)) == "***token***"
