"""No planted secret survives, whatever stands around it; no text breaks it, or takes long."""

from __future__ import annotations

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


@given(st.text(), st.text())
def test_any_text_is_made_printable_without_an_error(name: str, text: str) -> None:
    redact.is_secret_name(name)
    for shown in (redact.value(name, text), redact.url(text), redact.command([name, text]), redact.printable(text)):
        assert shown.isprintable()


@given(st.text("=:@/?&;,.-'\"\\ {}[]()aPpuH10\n", max_size=200))
def test_any_punctuation_is_survived(text: str) -> None:
    assert redact.url(text).isprintable()
    assert redact.command(text.split(" ")).isprintable()
