"""An environment block is cut down to what matters."""

from __future__ import annotations

from airgap_check.collectors.process_environment import of_interest


def test_only_what_the_catalogue_may_know_is_kept() -> None:
    block = b"PATH=/bin\0OS_CLOUD_URL=off\0OS_ANY=1\0https_proxy=http://h\0NODE_ENV=test\0XOS_Y=1\0"
    assert of_interest(block) == {"OS_CLOUD_URL": "off", "OS_ANY": "1", "https_proxy": "http://h", "NODE_ENV": "test"}


def test_of_two_variables_of_one_name_the_first_counts() -> None:
    assert of_interest(b"OS_CLOUD_URL=off\0OS_CLOUD_URL=https://h\0") == {"OS_CLOUD_URL": "off"}


def test_what_is_no_assignment_and_no_text_is_survived() -> None:
    assert of_interest(b"\0\0OS_X\0=OS_\0OS_Y=\xff=\0") == {"OS_Y": "\udcff="}
