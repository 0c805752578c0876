"""The statements of every job and every request, which go straight to the driver.

SQLAlchemy's part in executing a small statement is four fifths of its cost, so these are
compiled once, and the driver gets the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Select, TextClause, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

Statement = Select[Any] | Insert | Update | Delete | TextClause


class Prepared:
    """A statement that gives at most one row, compiled at its first use.

    ``columns`` are those that an insert or an update sets, each from the parameter of its
    name. Values go to the driver as they are, so they have to be of types that it knows.
    """

    def __init__(self, statement: Statement, columns: Sequence[str] = ()) -> None:
        self._statement = statement
        self._columns = list(columns) or None
        self._text = ""
        self._order: Sequence[str] = ()

    def one(self, connection: Connection, parameters: Mapping[str, Any]) -> Any | None:
        """The row as a tuple, or None; raises ``DBAPIError`` as SQLAlchemy does."""
        dialect = connection.dialect
        if not self._text:
            self._compile(dialect)
        values = [parameters[name] for name in self._order]
        try:
            cursor = connection.connection.cursor()
            try:
                cursor.execute(self._text, values)
                return cursor.fetchone()
            finally:
                cursor.close()
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(
                self._text, None, error, dialect.loaded_dbapi.Error, dialect=dialect
            ) from error

    def _compile(self, dialect: Dialect) -> None:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        self._order = getattr(compiled, "positiontup", None) or ()
        self._text = str(compiled)
