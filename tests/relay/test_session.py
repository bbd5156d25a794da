"""Which session ids are allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import InvalidSession
from relay.session import check_session


@given(st.from_regex(r"[A-Za-z0-9_.~-]{1,128}", fullmatch=True))
def test_allowed(session: str) -> None:
    """Every id of the allowed alphabet and length is returned unchanged."""
    assert check_session(session) == session


@pytest.mark.parametrize(
    "session",
    ["", " ", "a b", "../x", "a/b", "a:b", "a{b}", "a\n", "\0", "é", "a" * 129, "a" * 1000, "٣"],
)
def test_refused(session: str) -> None:
    """Everything else is refused with the rule, and not shown at full length."""
    with pytest.raises(InvalidSession, match="1 to 128 characters") as refusal:
        check_session(session)
    assert len(str(refusal.value)) < 300
