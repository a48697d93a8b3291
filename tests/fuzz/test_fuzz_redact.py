"""No planted secret survives, whatever stands around it; no text breaks it, or takes long."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from airgap_check import redact

_SECRET = st.text(string.ascii_letters + string.digits + "!$*+.~_@%", min_size=6, max_size=24).map(
    lambda text: f"zQ{text}Zq"
)
_PLAIN = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_NAMES = ["password", "DB_PASSWORD", "api-key", "token", "SECRET", "aws_credentials", "passwd", "access_token", "DbPwd"]


@given(_SECRET, _PLAIN, st.sampled_from(["postgres", "https", "redis", "mongodb+srv", "amqp", "jdbc:mysql"]))
def test_no_password_of_a_url_survives(secret: str, word: str, scheme: str) -> None:
    for text in (
        f"{scheme}://{word}:{secret}@{word}.example:5432/{word}",
        f"{scheme}://:{secret}@a,b/{word}?x=y",
        f"{scheme}://{secret}@{word}/x",
        f"a,{scheme}://{word}:{secret}@h,{scheme}://{word}:{secret}@g",
        f"{word}:{secret}@tcp({word}:3306)/{word}",
        f"http://{word}/,{word}:{secret}@h",
        f"{word}:{secret}@h,https://{word}",
        f"https://{word}/{scheme}://{word}:{secret}@h",
    ):
        assert secret not in redact.url(text)
        assert secret not in redact.value("OS_DATABASE_URL", text)
        assert secret not in redact.command([word, text])
        assert secret not in redact.command([word, f"--{word}={text}"])
        assert secret not in redact.command(["sh", "-c", f"{word} '{text}' && {word} {text}"])


@given(_SECRET, _PLAIN, st.sampled_from(_NAMES))
def test_no_named_secret_survives(secret: str, word: str, name: str) -> None:
    assert secret not in redact.value(name, secret)
    for text in (
        f"host={word} {name}={secret} user={word}",
        f"{name} = '{secret} {secret}'",
        f"Server={word};{name}={word} {secret};Database={word}",
        f"https://{word}/{word}?{word}=1&{name}={secret}&x=y",
        f'{{"{name}": "{secret}", "x": 1}}',
        f"{name.upper()}: {secret}",
    ):
        assert secret not in redact.url(text)
        assert secret not in redact.command([word, text])


@given(_SECRET, _PLAIN, st.sampled_from(_NAMES))
def test_no_secret_argument_survives(secret: str, word: str, name: str) -> None:
    for argv in (
        [word, f"--{name}", secret],
        [word, f"--{name}={secret} {secret}"],
        [word, f"-{name}={secret}"],
        [word, f"-p{secret}"],
        ["sshpass", "-p", secret, word],
        ["curl", "-u", f"{word}:{secret}"],
        [word, "-e", f"{name}={secret}"],
        ["curl", "-H", f"Authorization: Bearer {secret}", word],
        ["curl", "-H", f"{name}: {secret}", word],
        [f"{word} --{name}={secret} -p{secret} --{name} {secret}"],
        ["bash", "-c", f'{name.replace("-", "_")}="{word} {secret}" {word} --{name} "{secret}"'],
    ):
        assert secret not in redact.command(argv)


# Every printable character; a blank or a quote only where a text is one value, or quoted as a whole.
_RAW = st.text(string.punctuation.replace("$", "") + string.ascii_letters + string.digits, min_size=4, max_size=20)
_RAW_SECRET = _RAW.map(lambda text: f"zQ7{text}Zq7")
_BLANK_SECRET = st.tuples(_RAW, _RAW).map(lambda pair: f"zQ7{pair[0]} {pair[1]}Zq7")
_MARK = re.compile("zQ7|Zq7")


def _leaks(shown: str) -> bool:
    """Tell whether either end of a secret is still there."""
    return _MARK.search(shown) is not None


@given(_RAW_SECRET | _BLANK_SECRET, st.sampled_from(["postgres", "redis", "amqp", "https", "sentry", "sqlserver"]))
def test_no_character_in_a_password_saves_either_end_of_it(secret: str, scheme: str) -> None:
    for text in (
        f"{scheme}://u:{secret}@db.example:5432/app?x=y",
        f"{scheme}://u:1/{secret}@db/app",
        f"{scheme}://u:a://{secret}@db/app",
        f"{scheme}://:{secret}@db",
        f"u:{secret}@tcp(db.example:3306)/app",
        f"u:{secret}@db.example:5432/app",
        f"jdbc:oracle:thin:u/{secret}@db.example:1521:sid",
        f"jdbc:sqlserver://db.example;user=u;password={secret}",
        f"{scheme}://db.example/app?user=u&password={secret}",
        f"{scheme}://db.example:5432/app?authToken={secret}",
        f"Server=db.example;User Id=u;Password={secret};Database=a",
        f"host=db.example user=u password={secret} dbname=a",
        f'{{"host":"db.example","password":"{secret}"}}',
        f"db.example:5432:app:u:{secret}",
        f"user u pass {secret}",
        f"Bearer {secret}",
        f"Authorization: Basic {secret}",
    ):
        assert not _leaks(redact.value("OS_X_URL", text)), text
        assert not _leaks(redact.command(["node", text])), text
        assert not _leaks(redact.command(["node", "--url", text])), text
        assert not _leaks(redact.command(["node", f"--url={text}"])), text


@given(_RAW_SECRET | _BLANK_SECRET)
def test_no_character_in_an_argument_saves_either_end_of_it(secret: str) -> None:
    for argv in (
        ["node", "--password", secret],
        ["node", f"--password={secret}"],
        ["node", f"--password:{secret}"],
        ["node", f"DB_PASSWORD={secret}"],
        ["mysql", f"-p{secret}"],
        ["sqlplus", f"scott/{secret}@db"],
        ["impdp", f"u/{secret}@db"],
        ["http", "h", f"Authorization:Bearer {secret}"],
        ["http", "h", f"Authorization:{secret}"],
        ["http", "-a", f"u:{secret}", "h"],
        ["curl", "-b", f"session={secret}", "h"],
        ["curl", "-u", f"u:{secret}", "h"],
        ["lftp", "-u", f"user,{secret}", "h"],
        ["htpasswd", "-b", "f", "u", secret],
        ["chpasswd", f"u:{secret}"],
        ["aws", "configure", "set", "aws_secret_access_key", secret],
    ):
        assert not _leaks(redact.command(argv)), argv


@given(st.text(), st.text())
def test_any_text_is_made_printable_without_an_error(name: str, text: str) -> None:
    redact.is_secret_name(name)
    for shown in (redact.value(name, text), redact.url(text), redact.command([name, text]), redact.printable(text)):
        assert shown.isprintable()


@given(st.text("=:@/?&;,.-'\"\\ {}[]()aPpuH10\n", max_size=200))
def test_any_punctuation_is_survived(text: str) -> None:
    assert redact.url(text).isprintable()
    assert redact.command(text.split(" ")).isprintable()
