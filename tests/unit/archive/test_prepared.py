"""Statements that go straight to the driver: they give and fail as SQLAlchemy's do."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from jobworker.archive.prepared import Prepared
from jobworker.archive.tables import accounts

ADD = Prepared(insert(accounts).returning(accounts.c.number), ("number", "owner"))
GET = Prepared(select(accounts.c.number).where(accounts.c.owner == bindparam("who")))


def test_values_go_by_their_names(connection: Connection) -> None:
    assert ADD.one(connection, {"owner": "alice", "number": 7}) == (7,)
    assert GET.one(connection, {"who": "alice"}) == (7,)
    assert GET.one(connection, {"who": "bob"}) is None


def test_an_error_of_the_driver_is_told_as_sqlalchemy_tells_it(connection: Connection) -> None:
    ADD.one(connection, {"owner": "alice", "number": 7})
    with pytest.raises(IntegrityError, match="UNIQUE"):
        ADD.one(connection, {"owner": "alice", "number": 8})
    with pytest.raises(OperationalError, match="no such table"):
        Prepared(text("SELECT 1 FROM nowhere")).one(connection, {})


def test_no_error_tells_a_value(connection: Connection) -> None:
    ADD.one(connection, {"owner": "secret", "number": 7})
    with pytest.raises(IntegrityError) as caught:
        ADD.one(connection, {"owner": "secret", "number": 7})
    assert "secret" not in str(caught.value)
