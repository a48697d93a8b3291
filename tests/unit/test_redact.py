"""Whatever looks like a secret is gone, whatever does not stays readable."""

from __future__ import annotations

import pytest

from airgap_check import redact


@pytest.mark.parametrize(
    "name",
    [
        "OS_SECRET_KEY", "db_password", "MYSQL_PWD", "DB_PASS", "SSHPASS", "npm_config__auth", "apiKey",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS", "POSTMARK_TOKEN", "KEYCLOAK_ADMIN_PASSWORD", "OS_OTLP_HEADERS", "PASSPHRASE",
        "Authorization", "sig", "pw",
    ],
)  # fmt: skip
def test_names_of_secrets_are_known_in_any_case(name: str) -> None:
    assert redact.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["KEYBOARD_LAYOUT", "OS_KEYCLOAK_URL", "OS_AUTH_URL", "SSH_AUTH_SOCK", "PWD", "OLDPWD", "AUTHOR", "BYPASS",
    "PATH", "OS_CLOUD_URL",
     "PASSENGER_POOL", "CASSANDRA_KEYSPACE", "TOKENIZERS_PARALLELISM"],
)  # fmt: skip
def test_names_that_only_resemble_secrets_are_left_alone(name: str) -> None:
    assert not redact.is_secret_name(name)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("OS_CLOUD_URL", "off", "off"),
        ("OS_CLOUD_URL", "", ""),
        ("OS_CLOUD_URL", "  ", "  "),
        ("OS_CLOUD_URL", '"off"', '"off"'),
        ("DB_PASSWORD", "hunter2", "<redacted>"),
        ("DB_PASSWORD", "", ""),
        ("DB_PASSWORD_FILE", "/run/secrets/db", "/run/secrets/db"),
        ("DB_PASSWORD_FILE", "hunter2", "<redacted>"),
        ("PLAIN", "-----BEGIN PRIVATE KEY-----\nMII", "<redacted>"),
    ],
)
def test_a_value_is_hidden_by_its_name(name: str, text: str, shown: str) -> None:
    assert redact.value(name, text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:p@h:5/db", "postgres://<redacted>@h:5/db"),
        ("postgres://u:p@ss@h1:1,h2:2/db", "postgres://<redacted>@h1:1,h2:2/db"),
        ("postgres://u:p%40ss@h/db", "postgres://<redacted>@h/db"),
        ("postgres://u:p w@h/db", "postgres://<redacted>@h/db"),
        ("smtp://u:p/w@h", "smtp://<redacted>@h"),
        ("https://ghp_abc@h/x", "https://<redacted>@h/x"),
        ("amqp://u:p@a,amqp://u:q@b", "amqp://<redacted>@a,amqp://<redacted>@b"),
        ("u:p@tcp(h:3306)/d", "<redacted>@tcp(h:3306)/d"),
        ("jdbc:postgresql://h/db?user=u&password=p&ssl=1", "jdbc:postgresql://h/db?user=u&password=<redacted>&ssl=1"),
        ("https://h/x?api_key=p#y", "https://h/x?api_key=<redacted>"),
        ("host=h password=p dbname=x", "host=h password=<redacted> dbname=x"),
        ("host=h password = 'p q' dbname=x", "host=h password = <redacted> dbname=x"),
        ("Server=h;Password=my pass;Database=x", "Server=h;Password=<redacted>;Database=x"),
        ("UID=sa;PWD=/x", "UID=sa;PWD=<redacted>"),
        ("https://hooks.slack.com/services/T00/B00/abcDEF123456789012345678",
         "https://hooks.slack.com/services/T00/B00/<redacted>"),
        ('{"password": "p", "a": 1}', '{"password": <redacted>'),
    ],
)  # fmt: skip
def test_credentials_leave_a_connection_string(text: str, shown: str) -> None:
    assert redact.url(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jdbc:sqlserver://db.x;user=u;password=P@ss", "jdbc:sqlserver://db.x;user=u;password=<redacted>"),
        ("postgres://db.x:5432/app?user=u&password=P@ss", "postgres://db.x:5432/app?user=u&password=<redacted>"),
        ("libsql://db.x?authToken=ab@cd", "libsql://db.x?authToken=<redacted>"),
        ('{"host":"db.x","password":"P@ss"}', '{"host":"db.x","password":<redacted>'),
        ("Server=tcp:db.x,1433;Password=P@ss;Database=x", "Server=tcp:db.x,1433;Password=<redacted>;Database=x"),
        ("https://u:#p@host/x", "https://<redacted>@host/x"),
        ("https://u:1234/p@host/x", "https://<redacted>@host/x"),
        ("https://u:?p@host/x", "https://<redacted>@host/x"),
        ("https://u:/p@host/x", "https://<redacted>@host/x"),
        ("https://to/ken@host/x", "https://<redacted>@host/x"),
        ("sentry://to/ken@s.x/1", "sentry://<redacted>@s.x/1"),
        ("postgres://u:a://b@h/x", "postgres://<redacted>@h/x"),
        ("postgres://u:a,b://c@h/x", "postgres://<redacted>@h/x"),
        ("u:a b@tcp(h:1)/d", "<redacted>@tcp(h:1)/d"),
        ("u:a://b@tcp(h:1)/d", "<redacted>@tcp(h:1)/d"),
        ("jdbc:oracle:thin:u/a b@h:1521:sid", "jdbc:oracle:thin:<redacted>@h:1521:sid"),
        ("scott/tiger@db.x:1521/svc", "<redacted>@db.x:1521/svc"),
        ("http://x/?token=a&b#c", "http://x/?token=<redacted>"),
        ("db.x:5432:app:u:p@w", "<redacted>"),
        ("db.x:5432:app:u:pw", "db.x:5432:app:u:<redacted>"),
        ("host=h password=a b dbname=x", "host=h password=<redacted> dbname=x"),
        ("user u pass a b", "user u pass <redacted>"),
        ("Bearer a b", "Bearer <redacted>"),
        ("https://hooks.slack.com/services/T0/B0/p", "https://hooks.slack.com/services/T0/B0/<redacted>"),
        ("x ghp_0123456789abcdef0123 y", "x <redacted> y"),
    ],
)
def test_a_delimiter_in_a_secret_does_not_save_the_rest_of_it(text: str, shown: str) -> None:
    assert redact.value("OS_X_URL", text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://h.example/x?y=a@b", "2001:0:fffb:0:1::", "node_modules/foo@1.2.3", "git@github.com:org/repo.git",
        "--max-old-space-size=4096 --require dd-trace/init", "redis://h1:1, redis://h2:2",
        "http://h.example/@scope/x", "registry/app:1.2@sha256:0123abcd", "file:/srv/data.db",
        "key-server:8443",
        "https://key-server.bank.example:8443/a", "http://${HOST}:${PORT}/x", "h1:9092,h2:9093",
        "plain text, with commas",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact.url(text) == text


@pytest.mark.parametrize(
    "command",
    [
        "mysql -u root -phunter2 db", "mysql --password=hunter2", "mysql --password hunter2",
        "sshpass -p hunter2 ssh h",
        "curl -u a:hunter2 http://h", "curl -ua:hunter2 http://h", "curl --user=a:hunter2 h", "docker login -p hunter2",
        "docker run -e DB_PASSWORD=hunter2 x", "PGPASSWORD=hunter2 psql", "java -Ddb.password=hunter2 -jar x",
        "redis-cli -a hunter2", "openssl rsa -passin pass:hunter2", "curl -HX-Api-Key:hunter2 h",
        "mongodump -p=hunter2",
        "node app --db postgres://u:hunter2@h/d", "unzip -P hunter2 x.zip", "app --api-key=hunter2",
        "mysqladmin password hunter2",
        "ldapsearch -w hunter2", "smbclient -U user%hunter2 //h/s",
        "sqlplus scott/hunter2@db", "sqlplus scott/hunter2", "impdp u/hunter2@db", "http h Authorization:hunter2",
        "app --password:hunter2", "app /password:hunter2", "curl -b session=hunter2 h", "lftp -u user,hunter2 h",
        "http -a u:hunter2 h", "htpasswd -b f u hunter2", "chpasswd u:hunter2", "openssl enc -k hunter2",
        "aws configure set aws_secret_access_key hunter2", "snmpwalk -c hunter2 h", "vault login hunter2",
        "x eyJhbGciOi.hunter2.sig", "x ghp_hunter2Xy0123456789", "x glpat-hunter2Xy", "x xoxb-hunter2Xy",
        "x SG.hunter2Xy", "x sk-hunter2Xy0123456789",
    ],
)  # fmt: skip
def test_secrets_leave_a_command_line(command: str) -> None:
    shown = redact.command(command.split())
    assert "hunter2" not in shown
    assert redact.REDACTED in shown


@pytest.mark.parametrize(
    "argv",
    [
        [
            "sh",
            "-c",
            "mysql -phunter2 && curl -H \"Authorization: Bearer hunter2\" http://u:hunter2@h; PASSWORD='a hunter2' x",
        ],
        ["curl", "-H", "Authorization: Bearer hunter2", "h"],
        ["x", "--password=my hunter2"],
        ["x", "DB_PASSWORD=a hunter2"],
        ["x", "--dsn", "host=h password=hunter2"],
        ["mysqld --password=hunter2 --port=3"],
        ["curl", "-d", '{"password": "a hunter2 b"}', "h"],
        ["x", "--password", "-hunter2"],
        ["http", "x", "Authorization:Bearer hunter2"],
        ["node --password a hunter2"],
        ["node --password=a hunter2 --port 3"],
        ["sh", "-c", "echo hunter2 | sudo -S x"],
        ["sh", "-c", "echo u:hunter2 | chpasswd"],
    ],
)
def test_secrets_leave_arguments_with_blanks(argv: list[str]) -> None:
    assert "hunter2" not in redact.command(argv)


@pytest.mark.parametrize(
    "command",
    [
        "prog -proto tcp -port 80 -pid 3 -path /x", "ssh -p 22 h", "docker run -p 80:80 --name x img", "mkdir -p /a/b",
        "node --key-file /etc/x.pem --password-file=/run/s", "x --no-password -u root",
        "docker login --password-stdin registry", "docker run -v /keys:/keys:ro img", "npx foo/bar@latest",
        "tar -b 20 -c x", "app --host db.x --port 5432 --database app", "aws configure set region eu",
    ],
)  # fmt: skip
def test_ordinary_command_lines_stay(command: str) -> None:
    assert redact.command(command.split()) == command


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("family=Inter&v=1", "family=…&v=…"),
        ("hunter2", "…"),
        ("a=1&&hunter2&b", "a=…&…&…"),
        ("ghp_0123456789abcdefghij=1", "…"),
        ("n" * 41 + "=1", "…"),
        ("a\x1b[31m=1", "a=…"),
        ("", ""),
        ("&".join(f"n{number}=1" for number in range(20)), "&".join(f"n{number}=…" for number in range(16))),
    ],
)
def test_of_a_query_only_the_names_are_shown(query: str, shown: str) -> None:
    assert redact.query(query) == shown


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    assert redact.printable("a\x1b[31mb\x07c\u202ed\te\nf\udc80\x9b0mg") == "abcd e f\N{REPLACEMENT CHARACTER}g"


def test_a_hidden_control_character_does_not_save_a_secret() -> None:
    assert redact.value("X", "PASS\x01WORD=hunter2") == "PASSWORD=<redacted>"
