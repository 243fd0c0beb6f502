"""The words of a PgVector's table in the same schema, as SQL: tables, triggers and BM25.

Each row's terms are those of `cutting.py`; triggers keep them, in the transaction that changes the
row, so that no kill and no other writer can part the two. A score is BM25 (Robertson
and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) with k1 = 1.2,
b = 0.75 and the IDF of Lucene, ln(1 + (N - n + 0.5) / (n + 0.5)), which is never below 0.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from agno_portkey.knowledge.search.cutting import cutting_sql
from agno_portkey.knowledge.search.filters import All, Condition, Not, Test, canonical

__all__ = ["Names", "condition_sql"]

_LONGEST = 40


class Names:
    """What belongs to the words of one table, named and quoted."""

    def __init__(self, schema: str, table: str, language: str) -> None:
        short = table
        if len(table.encode()) > _LONGEST:
            # Postgres cuts names off at 63 bytes.
            short = table[:20] + blake2b(table.encode(), digest_size=8).hexdigest()
        self.table = f"{_name(schema)}.{_name(table)}"
        self.postings = f"{_name(schema)}.{_name(f'{short}_portkey_words')}"
        self.lengths = f"{_name(schema)}.{_name(f'{short}_portkey_lengths')}"
        self.function = f"{_name(schema)}.{_name(f'{short}_portkey_kept')}"
        self.cut = f"{_name(schema)}.{_name(f'{short}_portkey_cut')}"
        # Another language or another form of the tables is another trigger.
        self.trigger = f"words_kept_2_{language}"
        self.language = _text(language)
        self.owner = f"{schema}.{table}.words"

    @property
    def install(self) -> list[str]:
        """Statements that make the words anew, from the rows there are."""
        terms = (
            f"INSERT INTO {self.postings} (term, id, often) "  # noqa: S608
            f"SELECT t.term, r.id, t.often FROM {{rows}} r, LATERAL {self.cut}(r.content) t;"
        )
        lengths = (
            f"INSERT INTO {self.lengths} (id, length) SELECT r.id, coalesce((SELECT "  # noqa: S608
            f"sum(p.often) FROM {self.postings} p WHERE p.id = r.id), 0) FROM {{rows}} r;"
        )
        new = "(SELECT NEW.id, NEW.content)"
        forget = (
            f"DELETE FROM {self.postings} WHERE id = OLD.id; "  # noqa: S608
            f"DELETE FROM {self.lengths} WHERE id = OLD.id; "
        )
        body = (
            f"BEGIN IF TG_OP = 'TRUNCATE' THEN TRUNCATE {self.postings}, {self.lengths}; "
            f"RETURN NULL; END IF; IF TG_OP <> 'INSERT' THEN {forget}END IF; "
            f"IF TG_OP <> 'DELETE' THEN {terms.format(rows=new)} {lengths.format(rows=new)} "
            "END IF; RETURN NULL; END"
        )
        return [
            f"LOCK TABLE {self.table} IN SHARE ROW EXCLUSIVE MODE",
            *self.remove,
            f"CREATE TABLE {self.postings} (term text NOT NULL, id text NOT NULL, "
            "often integer NOT NULL, PRIMARY KEY (term, id))",
            f"CREATE INDEX ON {self.postings} (id)",
            f"CREATE TABLE {self.lengths} (id text PRIMARY KEY, length integer NOT NULL)",
            cutting_sql(self.cut, self.language),
            *(f"COMMENT ON TABLE {table} IS {self._mark}" for table in self._tables),
            terms.format(rows=self.table),
            lengths.format(rows=self.table),
            # Whoever may write rows has their words kept, with the rights of who made this.
            f"CREATE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"SET search_path = pg_catalog, pg_temp AS $body${body}$body$",
            f'CREATE TRIGGER "{self.trigger}" AFTER INSERT OR DELETE OR UPDATE OF id, content '
            f"ON {self.table} FOR EACH ROW EXECUTE FUNCTION {self.function}()",
            f'CREATE TRIGGER "{self.trigger}_all" AFTER TRUNCATE ON {self.table} '
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self.function}()",
            f"ANALYZE {self.postings}",
            f"ANALYZE {self.lengths}",
        ]

    @property
    def _tables(self) -> tuple[str, str]:
        return self.postings, self.lengths

    @property
    def _mark(self) -> str:
        """What our tables are known by."""
        return _text(f"agno-portkey: the words of {self.table}")

    @property
    def foreign(self) -> str:
        """The tables that have the names of ours and are not."""
        named = ", ".join(_quoted(table) for table in self._tables)
        return (
            f"SELECT name FROM unnest(ARRAY[{named}]) name WHERE to_regclass(name) IS NOT NULL "  # noqa: S608
            f"AND obj_description(to_regclass(name), 'pg_class') IS DISTINCT FROM {self._mark}"
        )

    @property
    def remove(self) -> list[str]:
        return [
            f"DROP FUNCTION IF EXISTS {self.function}() CASCADE",
            f"DROP FUNCTION IF EXISTS {self.cut}(text)",
            f"DROP TABLE IF EXISTS {self.postings}, {self.lengths}",
        ]

    @property
    def number(self) -> str:
        return f"SELECT count(*) FROM {self.lengths}"  # noqa: S608

    def indexed(self, name: str, how: str) -> str:
        return f"CREATE INDEX IF NOT EXISTS {_name(name)} ON {self.table} USING {how}"

    @property
    def installed(self) -> str:
        """Whether there is a table, and whether its words are kept in step."""
        return (
            f"SELECT to_regclass({_quoted(self.table)}) IS NOT NULL, "  # noqa: S608
            f"to_regclass({_quoted(self.postings)}) IS NOT NULL AND "
            f"to_regclass({_quoted(self.lengths)}) IS NOT NULL AND "
            f"to_regprocedure({_quoted(self.cut + '(text)')}) IS NOT NULL AND (SELECT count(*) = 2 "
            f"FROM pg_trigger WHERE tgrelid = to_regclass({_quoted(self.table)}) AND tgname IN "
            f"({_text(self.trigger)}, {_text(self.trigger + '_all')}) AND tgenabled <> 'D')"
        )

    def best(self, where: str) -> str:
        """The best :limit ids by BM25 for :terms with :weights, and those of :also that match."""
        return f"""
WITH asked AS (
  SELECT c.term, sum(t.weight) AS weight
  FROM unnest(CAST(:terms AS text[]), CAST(:weights AS float8[])) t (term, weight),
  LATERAL {self.cut}(t.term) c GROUP BY c.term
), total AS (
  SELECT count(*)::float8 AS number, greatest(avg(length), 1)::float8 AS length
  FROM {self.lengths}
), known AS (
  SELECT a.term, a.weight, (SELECT count(*) FROM {self.postings} p WHERE p.term = a.term)::float8
  AS has FROM asked a
), rated AS (
  SELECT k.term, k.weight * ln(1 + (t.number - k.has + 0.5) / (k.has + 0.5)) AS weight
  FROM known k CROSS JOIN total t WHERE k.has > 0
), found AS MATERIALIZED (
  SELECT p.id, sum(r.weight * p.often * 2.2
  / (p.often + 1.2 * (0.25 + 0.75 * l.length / t.length))) AS score
  FROM rated r JOIN {self.postings} p ON p.term = r.term JOIN {self.lengths} l ON l.id = p.id
  CROSS JOIN total t {where} GROUP BY p.id
)
(SELECT id, score FROM found ORDER BY score DESC, id LIMIT :limit)
UNION SELECT id, score FROM found WHERE id = ANY(CAST(:also AS text[]))
ORDER BY score DESC, id"""  # noqa: S608


def condition_sql(condition: Condition, values: dict[str, Any]) -> str:
    """A condition over the column `meta_data`; its values are added to `values`."""

    def kept(value: Any) -> str:
        name = f"value_{len(values)}"
        values[name] = value
        return name

    if isinstance(condition, Test):
        return _tested(condition, kept)
    if isinstance(condition, Not):
        return f"NOT ({condition_sql(condition.of, values)})"
    within = [f"({condition_sql(each, values)})" for each in condition.of]
    if isinstance(condition, All):
        return " AND ".join(within) or "true"
    return " OR ".join(within) or "false"


def _tested(test: Test, kept: Any) -> str:
    key = kept(test.key)
    field, text = f"meta_data -> CAST(:{key} AS text)", f"meta_data ->> CAST(:{key} AS text)"
    if test.op == "=":
        value = kept(canonical(test.value))
        return f"coalesce({field} = CAST(:{value} AS jsonb), false)"
    value = kept(test.value)
    kind, found = "string", f'({text}) COLLATE "C" {test.op} CAST(:{value} AS text)'
    if test.op == "contains":
        found = f"strpos(lower({text}), lower(CAST(:{value} AS text))) > 0"
    elif test.op == "startswith":
        found = f"starts_with({text}, CAST(:{value} AS text))"
    elif not isinstance(test.value, str):
        kind, found = "number", f"({text})::numeric {test.op} CAST(:{value} AS numeric)"
    return f"CASE WHEN jsonb_typeof({field}) = '{kind}' THEN {found} ELSE false END"


def _name(name: str) -> str:
    return '"' + _plain(name).replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + _plain(text).replace("'", "''") + "'"


def _plain(text: str) -> str:
    # SQLAlchemy would take it for a parameter.
    return text.replace("\\", "").replace(":", "\\:")


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
