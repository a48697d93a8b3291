"""A secret on a command line is named where it is sure to be one, and nowhere else."""

from __future__ import annotations

import pytest

from airgap_check.collectors.command_line import exposed, may_expose


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("app --password hunter2", "--password"),
        ("app --password=hunter2", "--password"),
        ("app -password hunter2", "-password"),
        ("app --db-password hunter2", "--db-password"),
        ("app --db.passwd=hunter2", "--db.passwd"),
        ("app --api-key hunter2", "--api-key"),
        ("app --token hunter2", "--token"),
        ("app --client-secret=hunter2", "--client-secret"),
        ("env DB_PASSWORD=hunter2 app", "DB_PASSWORD"),
        ("docker run -e API_TOKEN=hunter2 img", "API_TOKEN"),
        ("app postgres://u:hunter2@h/x", "URL"),
        ("app --db=postgres://u:hunter2@h/x", "URL"),
        ("mysql -u root -phunter2", "-p"),
        ("/usr/bin/mariadb-dump -phunter2", "-p"),
        ("sshpass -p hunter2 ssh h", "-p"),
        ("sshpass -phunter2 ssh h", "-p"),
        ("curl -u a:hunter2 http://h", "-u"),
        ("lftp -u a,hunter2 h", "-u"),
        ("sqlplus scott/hunter2@db", "login"),
        ("impdp u/hunter2@db full=y", "login"),
    ],
)
def test_a_secret_is_named(line: str, name: str) -> None:
    assert exposed(line.split()) == [name]
    assert exposed([line]) == [name], "a process that rewrote its title"
    assert may_expose(b"\0".join(line.encode().split()))


def test_a_header_is_named_once() -> None:
    assert exposed(["curl", "-H", "Authorization: Bearer hunter2", "-Hauthorization: Basic hunter2"]) == [
        "Authorization"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "app --password-file /run/s", "app --key-file=/etc/x.pem", "app --token-path /x", "app --password=",
        "app --password",
        "app --password --user root", "app --password /run/secrets/x", "app --token @file", "app --secret env:X",
        "app --token-ttl 3600",
        "app --no-password x", "mysql -pxxxxxxx", "mysql -p db", "ssh -p 22 h", "app -phunter2", "app https://u@h/x",
        "app https://h:80/a@b",
        "docker build --secret id=x,src=y", "app --password $PASSWORD", "curl -u user http://h", "sudo -u a:b x",
        "app KEY=x", "app --key x",
        "env DB_PASSWORD_FILE=/x app", "",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_not_named(line: str) -> None:
    assert exposed(line.split()) == []


def test_most_command_lines_need_no_closer_look() -> None:
    assert not may_expose(b"/usr/sbin/sshd\0-D\0")
