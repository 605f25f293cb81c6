# What Python people connect with, each as its own documentation shows it. Usage: clients.py URL. Prints one JSON object.
import asyncio, datetime, decimal, json, sys, uuid, warnings

warnings.simplefilter("ignore")
url = sys.argv[1]
out = {}


def plain(value):
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (int, float, bool, str, dict)) else str(value)


EVERY_TYPE = """select true as bool, 7::smallint as int2, 8 as int4, 9::bigint as int8, 1.5::real as float4, 0.1::double as float8,
  1234.50::decimal(12,2) as numeric, 12345678901234567890123::hugeint as huge, 'é😀' as text, '\\x00\\xFF'::blob as bytea,
  date '2013-06-20' as date, time '12:34:56.5' as time, timestamp '2013-06-20 12:34:56.789' as ts,
  timestamptz '2013-06-20 12:34:56.789+00' as tstz, interval '1 day 02:03:04' as interval, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as uuid,
  ['a', null, 'b c'] as texts, [1, 2] as ints, {'a': 1, 'b': [true]} as struct, null as nothing"""

import psycopg

for name, binary in (("psycopg3_text", False), ("psycopg3_binary", True)):
    with psycopg.connect(url) as connection:
        with connection.cursor(binary=binary) as cursor:
            out[name] = [plain(value) for value in cursor.execute(EVERY_TYPE).fetchone()]
            cursor.execute("select log_offset, text, created_at from posts where log_offset = any(%s) and created_at > %s and text like %s and reposts < %s order by 1",
                           ([5, 6, 7], datetime.datetime(2013, 6, 20, tzinfo=datetime.timezone.utc), "post%", decimal.Decimal("6.5")))
            out[name + "_params"] = plain(cursor.fetchall())
            out[name + "_echo"] = [plain(value) for value in cursor.execute(
                "select %s, %s, %s, %s, %s, %s, %b", (1, 2**40, "x", datetime.date(2013, 6, 20), uuid.UUID(int=5), ["a", None], True)).fetchone()]
            try:
                cursor.execute("select nope from posts")
            except psycopg.errors.UndefinedColumn as error:
                out[name + "_error"] = error.diag.sqlstate
            connection.rollback()
        with connection.cursor("named", binary=binary) as cursor:
            cursor.execute("select log_offset from posts where log_offset >= %s order by 1", (10,))
            out[name + "_named"] = [len(cursor.fetchmany(100)), cursor.fetchone()[0], sum(1 for _ in cursor)]
with psycopg.connect(url, autocommit=True) as connection:
    with connection.cursor() as cursor, cursor.copy("copy (select log_offset, text from posts order by 1 limit 3) to stdout") as copy:
        out["psycopg3_copy"] = [plain(row) for row in copy.rows()]
    with connection.pipeline():
        first, second = connection.execute("select 1"), connection.execute("select 2 where %s", (True,))
        out["psycopg3_pipeline"] = [first.fetchone()[0], second.fetchone()[0]]
    for _ in range(8):  # prepared on the server from the fifth time on
        count = connection.execute("select count(*) from posts where log_offset < %s", (100,)).fetchone()[0]
    out["psycopg3_prepared"] = count

import psycopg2

with psycopg2.connect(url) as connection:
    cursor = connection.cursor()
    cursor.execute("select count(*), min(created_at) from posts where log_offset between %s and %s", (10, 19))
    out["psycopg2"] = plain(cursor.fetchone())
    named = connection.cursor("many")
    named.itersize = 700
    named.execute("select text from posts")
    out["psycopg2_named"] = sum(1 for _ in named)

import asyncpg


async def with_asyncpg():
    pool = await asyncpg.create_pool(url, min_size=1, max_size=2)
    async with pool.acquire() as connection:
        out["asyncpg"] = [plain(value) for value in (await connection.fetchrow(EVERY_TYPE)).values()]
        rows = await connection.fetch("select log_offset, text from posts where created_at > $1 and log_offset = any($2::bigint[]) order by 1",
                                      datetime.datetime(2013, 6, 20, tzinfo=datetime.timezone.utc), [3, 4])
        out["asyncpg_params"] = [plain(tuple(row)) for row in rows]
        async with connection.transaction(readonly=True):
            out["asyncpg_cursor"] = len([row async for row in connection.cursor("select * from posts", prefetch=500)])
        try:
            await connection.fetch("select count(*) from posts a, posts b, posts c, posts d where a.log_offset + b.log_offset = c.log_offset * d.log_offset", timeout=0.5)
        except asyncio.TimeoutError:
            out["asyncpg_timeout"] = await connection.fetchval("select 1")
    async with pool.acquire() as connection:
        out["asyncpg_pool"] = await connection.fetchval("select count(*) from events")
    await pool.close()

asyncio.run(with_asyncpg())

import sqlalchemy

for driver in ("psycopg", "psycopg2", "asyncpg"):
    if driver == "asyncpg":
        continue
    engine = sqlalchemy.create_engine(url.replace("postgres://", f"postgresql+{driver}://"))
    inspector = sqlalchemy.inspect(engine)
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("posts", schema="lake")}
    out[f"sqlalchemy_{driver}"] = {
        "schemas": inspector.get_schema_names(), "tables": sorted(inspector.get_table_names(schema="lake")), "default": sorted(inspector.get_table_names()),
        "pk": inspector.get_pk_constraint("posts", schema="lake")["constrained_columns"], "indexes": inspector.get_indexes("posts", schema="lake"),
        "comment": inspector.get_table_comment("posts", schema="lake")["text"] is not None,
        "columns": {name: columns[name] for name in ("event_id", "created_at", "hashtags", "reposts", "latitude", "author_verified")},
    }
    table = sqlalchemy.Table("posts", sqlalchemy.MetaData(schema="lake"), autoload_with=engine)
    with engine.connect().execution_options(stream_results=True, yield_per=1000) as connection:
        query = sqlalchemy.select(table.c.log_offset).where(table.c.reposts > 3).order_by(table.c.log_offset)
        out[f"sqlalchemy_{driver}_stream"] = sum(1 for _ in connection.execute(query))
    import pandas
    frame = pandas.read_sql("select created_at, reposts, latitude, text from posts order by log_offset limit 3", engine)
    out[f"pandas_{driver}"] = [[str(kind) for kind in frame.dtypes], int(frame["reposts"].sum())]
    frame = pandas.read_sql_table("events", engine, schema="lake")
    out[f"pandas_table_{driver}"] = len(frame)
    engine.dispose()

import adbc_driver_postgresql.dbapi
import polars

with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
    cursor.execute("select log_offset, text, created_at, hashtags, latitude, author_verified from posts order by log_offset")
    table = cursor.fetch_arrow_table()
    out["adbc"] = [table.num_rows, [str(kind) for kind in table.schema.types], str(table["text"][1]), table["hashtags"][1].as_py()]
frame = polars.read_database_uri("select log_offset, text, created_at, latitude from lake.posts", url.replace("postgres://", "postgresql://"), engine="adbc")
out["polars_adbc"] = [frame.height, [str(kind) for kind in frame.dtypes]]
frame = polars.read_database_uri("select log_offset, text, created_at, latitude from lake.posts", url.replace("postgres://", "postgresql://"))
out["polars_connectorx"] = [frame.height, [str(kind) for kind in frame.dtypes]]

print(json.dumps(out))
