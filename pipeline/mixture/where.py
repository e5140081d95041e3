"""`where`: which documents of a source are meant, as a condition on their columns.

    language == "en" and quality > 0.3
    0.2 < gopher_quality.word_count <= 5000 or source in ["books", "papers"]
    not (url is null) and `odd column` != 3

The grammar is Python's for comparisons, and / or / not, `in` a list and `is null`; nothing is called or looked up, so that a
condition can do nothing but compare. As in SQL, a comparison with null is neither true nor false; such a document is not chosen.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.recipe_errors import nearest_first

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc

MOST_CHARACTERS = 10_000
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`([^`]+)`")
_STAND_IN = "quoted_column_"
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
}


class Where:
    """A condition, read but not yet bound to columns."""

    def __init__(self, text: str) -> None:
        """Read a condition.

        Raises:
            ValueError: it is none.
        """
        self.text = text
        self._quoted: list[str] = []

        def stand_in(found: re.Match[str]) -> str:
            if found[1] is None:
                return found[0]
            self._quoted.append(found[1])
            return f"{_STAND_IN}{len(self._quoted) - 1}"

        if len(text) > MOST_CHARACTERS:
            raise ValueError(f"where has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
        read = _QUOTED.sub(stand_in, text).replace("\n", " ").strip()
        try:
            self._tree = ast.parse(read, mode="eval").body
            self._check(self._tree)
        except SyntaxError as error:
            near = f" near {read[error.offset - 1 :][:20]!r}" if error.offset else ""
            raise ValueError(f"where {text!r} cannot be read{near}; {_example()}") from None
        except (RecursionError, MemoryError):
            raise ValueError("where nests too deeply") from None
        self.columns: frozenset[str] = frozenset(self._names(self._tree))

    def expression(self, schema: pa.Schema) -> pc.Expression:
        """The condition over columns of these types, for `Table.filter` and datasets.

        Raises:
            ValueError: it names a column that is not there, or compares one with a value of another kind.
        """
        for name in sorted(self.columns):
            if name not in schema.names:
                raise ValueError(unknown_column(name, schema.names))
        return self._boolean(self._tree, schema)

    def _name(self, node: ast.expr) -> str | None:
        """The column a node names, if it does."""
        if isinstance(node, ast.Name):
            if node.id in ("null", "true", "false"):
                return None
            return self._quoted[int(node.id.removeprefix(_STAND_IN))] if node.id.startswith(_STAND_IN) else node.id
        if isinstance(node, ast.Attribute) and (above := self._name(node.value)) is not None:
            return f"{above}.{node.attr}"
        return None

    def _names(self, tree: ast.expr) -> Iterator[str]:
        if (name := self._name(tree)) is not None:
            yield name
            return
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.expr):
                yield from self._names(child)

    def _check(self, node: ast.expr) -> None:
        """Refuse whatever is not a comparison of columns with values."""
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self._check(value)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self._check(operand)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                for a, op, b in zip([left, *rights], ops, rights, strict=False):
                    self._check_comparison(a, op, b)
            case _ if self._name(node) is not None:
                pass
            case _:
                raise ValueError(f"where {self.text!r} holds {self._source(node)}, which compares nothing; {_example()}")

    def _check_comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        if isinstance(op, ast.Is | ast.IsNot):
            good = self._name(left) is not None and isinstance(right, ast.Name) and right.id == "null"
            wanted = "`is null` or `is not null` after a column"
        elif isinstance(op, ast.In | ast.NotIn):
            good = self._name(left) is not None and isinstance(right, ast.List | ast.Tuple)
            good = good and bool(right.elts) and all(_value(e) is not None for e in right.elts)  # type: ignore[attr-defined]
            wanted = 'a column `in` a list of values, such as ["en", "de"]'
        else:
            good = all(self._name(side) is not None or _value(side) is not None for side in (left, right))
            good = good and any(self._name(side) is not None for side in (left, right))
            wanted = "a column and a number, a text in quotes, true or false"
        if not good:
            raise ValueError(f"where {self.text!r}: {self._source(left)} ... {self._source(right)} should be {wanted}")

    def _source(self, node: ast.expr) -> str:
        return self._name(node) or ast.unparse(node)

    def _boolean(self, node: ast.expr, schema: pa.Schema) -> pc.Expression:
        import pyarrow as pa
        import pyarrow.compute as pc

        match node:
            case ast.BoolOp(op=op, values=values):
                result = self._boolean(values[0], schema)
                for value in values[1:]:
                    other = self._boolean(value, schema)
                    result = result & other if isinstance(op, ast.And) else result | other
                return result
            case ast.UnaryOp(operand=operand):
                return ~self._boolean(operand, schema)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                result = self._comparison(left, ops[0], rights[0], schema)
                for a, comparison, b in zip(rights, ops[1:], rights[1:], strict=False):
                    result = result & self._comparison(a, comparison, b, schema)
                return result
        name = self._name(node) or ""
        if not pa.types.is_boolean(schema.field(name).type):
            raise ValueError(f"column {name} is {schema.field(name).type}, not true or false; compare it with something")
        return pc.field(name)

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr, schema: pa.Schema) -> pc.Expression:
        if (name := self._name(left)) is not None and isinstance(op, ast.Is | ast.IsNot):
            column = self._column(name, schema)
            return column.is_null() if isinstance(op, ast.Is) else column.is_valid()
        if name is not None and isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple):
            values = [_converted(_value(element), name, schema) for element in right.elts]
            chosen = self._column(name, schema).isin(values)
            return chosen if isinstance(op, ast.In) else ~chosen & self._column(name, schema).is_valid()
        sides = []
        for side, other in ((left, right), (right, left)):
            if (name := self._name(side)) is not None:
                sides.append(self._column(name, schema))
            else:
                sides.append(_converted(_value(side), self._name(other) or "", schema))
        a, b = sides
        if self._name(left) is None:  # a plain value on the left would do Python's comparison
            mirrored: dict[type[ast.cmpop], type[ast.cmpop]] = {
                ast.Lt: ast.Gt,
                ast.LtE: ast.GtE,
                ast.Gt: ast.Lt,
                ast.GtE: ast.LtE,
            }
            return getattr(b, _COMPARISONS[mirrored.get(type(op), type(op))])(a)
        if self._name(right) is not None:
            kinds = {_kind(schema.field(self._name(side) or "").type) for side in (left, right)}
            if len(kinds) > 1:
                raise ValueError(
                    f"{self._source(left)} and {self._source(right)} hold {' and '.join(sorted(kinds))}; compare like with like"
                )
        return getattr(a, _COMPARISONS[type(op)])(b)

    def _column(self, name: str, schema: pa.Schema) -> pc.Expression:
        import pyarrow as pa
        import pyarrow.compute as pc

        type_ = schema.field(name).type
        return pc.field(name).cast(type_.value_type) if pa.types.is_dictionary(type_) else pc.field(name)


def unknown_column(name: str, names: list[str]) -> str:
    """What to say of a column that is not there."""
    return f"there is no column {name}; columns are {nearest_first(name, sorted(names))}"


def _value(node: ast.expr) -> Any:
    """The value a node spells out: a text, a number or a truth value; None if it does not."""
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        return node.id == "true"
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(number := _value(node.operand), int | float)
    ):
        return -number
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    return None


def _kind(type_: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_boolean(type_):
        return "true or false"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_):
        return "numbers"
    return "dates" if pa.types.is_timestamp(type_) else str(type_)


def _converted(value: Any, name: str, schema: pa.Schema) -> Any:
    """A value as the column holds such.

    Raises:
        ValueError: the column holds something else.
    """
    from datetime import UTC, datetime

    import pyarrow as pa

    type_ = schema.field(name).type
    kind = _kind(type_)
    if kind == "dates" and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"column {name} holds dates; {value!r} is none, write one as '2024-05-31'") from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return pa.scalar(aware if type_.tz else aware.replace(tzinfo=None), type_)
    given = "true or false" if isinstance(value, bool) else "numbers" if isinstance(value, int | float) else "text"
    if given != kind:
        raise ValueError(f"column {name} holds {kind}; {value!r} is {given.removesuffix('s')}")
    # a column of 32 bits holds 0.3 as 0.30000001, which is not above a 0.3 of as many bits
    return pa.scalar(value, type_) if pa.types.is_floating(type_) else value


def _example() -> str:
    return 'a condition is such as language == "en" and quality > 0.3'
