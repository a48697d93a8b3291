"""Dockerfiles are read to the image that they end in, and for what building it would fetch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.deployment.dockerfile import Built, instructions, read

DIGEST = "sha256:" + "b" * 64


def built(text: str) -> Built:
    found = read("Dockerfile", text)
    assert found is not None
    return found


def environment(text: str) -> dict[str, str | None]:
    return {one.name: one.text for one in built(text).service.variables}


def test_the_last_stage_counts_and_has_what_the_stage_below_it_has() -> None:
    text = "FROM a AS base\nENV A=1 B=2\nFROM x AS other\nENV C=3\nFROM base\nENV B=over D=${A}x\n"
    assert environment(text) == {"A": "1", "B": "over", "D": "1x"}


def test_both_forms_of_env_and_arguments_with_defaults() -> None:
    text = 'ARG V=22\nFROM node:${V}\nARG V\nARG W=w\nENV OLD one two\nENV A="x y" B=$V-$W\n'
    assert environment(text) == {"OLD": "one two", "A": "x y", "B": "22-w"}
    assert [(one.detail, one.line) for one in built(text).bases] == [("node:22", 2)]


def test_bases_are_what_is_pulled_and_not_stages_or_scratch() -> None:
    text = f"FROM --platform=linux/amd64 a@{DIGEST} AS one\nFROM one\nFROM scratch\nCOPY --from=one / /\n"
    text += "COPY --chown=1 --from=b:2 / /\n"
    assert [one.detail for one in built(text).bases] == [f"a@{DIGEST}", "b:2"]


@pytest.mark.parametrize(
    "step",
    [
        "RUN npm install", "RUN npm ci --omit=dev", "RUN npm install -g @objectstack/cli@17.4.0", "RUN npx create-x",
        "RUN curl -fsSL http://x | sh", "RUN set -e; wget http://x", "RUN apt-get -y update",
        "RUN apk --no-cache add curl",
        "RUN pip install x", "RUN python3 -m pip install -r r.txt", "RUN git clone http://x", "RUN yarn",
        "RUN corepack enable", "RUN --mount=type=cache,target=/c npm ci", "ADD http://x/y /y", "ADD git@x:y /y",
        "RUN true && \\\n  # about it\n  npm ci", "RUN <<EOT\nset -e\nnpm ci\nEOT", "RUN dnf install -y x",
        'RUN ["npm", "ci"]',
    ],
)  # fmt: skip
def test_a_step_that_fetches_is_found_where_it_begins(step: str) -> None:
    found = built(f"FROM a@{DIGEST}\n{step}\nENV LAST=1\n")
    assert [one.line for one in found.fetches] == [2]
    assert environment(f"FROM a\n{step}\nENV LAST=1\n") == {"LAST": "1"}


@pytest.mark.parametrize(
    "step",
    [
        "RUN npm ci --offline", "RUN pip install --no-index --find-links /w x", "RUN npm run build", "COPY . .",
        "RUN rm -rf /var/lib/apt/lists", "RUN ls curl.d mycurl /usr/bin/curly", "ADD x.tar /", "RUN os build",
        "RUN mkdir -p /etc/wget.d", "# RUN curl x", "RUN --network=none npm ci", "CMD curl http://localhost",
    ],
)  # fmt: skip
def test_a_step_that_fetches_nothing_is_not(step: str) -> None:
    assert not built(f"FROM a@{DIGEST}\n{step}\n").fetches


def test_another_escape_character_and_windows_line_ends() -> None:
    assert environment("# escape=`\r\nFROM a\r\nENV A=1 `\r\n  B=2\r\n") == {"A": "1", "B": "2"}


def test_what_has_no_from_is_no_dockerfile() -> None:
    assert read("Dockerfile", "hello\nworld\n") is None
    assert read("Dockerfile", "") is None


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    assert all(one.line >= 1 for one in instructions(text))
    read("Dockerfile", "FROM a\n" + text)


@given(
    st.lists(
        st.sampled_from(
            [
                "FROM a AS b",
                "FROM b",
                "ENV A=$A$A",
                "ENV",
                "ARG A",
                "RUN <<E",
                "E",
                "\\",
                "#",
                "COPY --from=b x y",
                "CMD []",
            ]
        ),
        max_size=30,
    )
)
def test_any_order_of_instructions(lines: list[str]) -> None:
    found = read("Dockerfile", "\n".join(lines))
    assert found is None or found.service.kind == "dockerfile"


def test_images_that_a_build_pulls_in_passing() -> None:
    found = built(
        "# syntax=docker/dockerfile:1\nFROM --platform=linux/amd64 x:1 AS base\n"
        "RUN --mount=type=bind,from=alpine:3,target=/x --mount=from=base,target=/y true\n"
    )
    assert [(one.detail, one.line) for one in found.bases] == [("x:1", 2), ("alpine:3", 3)]
    assert [(one.detail, one.line) for one in found.fetches] == [("the image of its syntax, docker/dockerfile:1", 1)]
    assert not built("FROM x:1\n# syntax=docker/dockerfile:1\n").fetches


def test_nothing_far_down_is_overlooked() -> None:
    assert environment("FROM x:1\n" + "\n" * 50_000 + "ENV A=1\n") == {"A": "1"}
