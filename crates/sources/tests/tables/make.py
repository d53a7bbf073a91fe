#!/usr/bin/env python3
"""Makes the files of this folder with pyarrow, DuckDB and fastavro, and beside each a `.jsonl` of what these read in it.

pip install pyarrow duckdb fastavro cramjam zstandard
"""
import datetime, decimal, os, uuid
import duckdb, fastavro, pyarrow as pa, pyarrow.parquet as pq
import forms

os.chdir(os.path.dirname(os.path.abspath(__file__)))
D = decimal.Decimal


def read(name, table=None, json=()):
    table = pq.read_table(name) if table is None else table
    with open(name + ".jsonl", "w") as out:
        out.writelines(row + "\n" for row in forms.rows(table, json))


def parquet(name, table, **how):
    pq.write_table(table, name, **how)
    read(name)


def table(**columns):
    return pa.table({name: pa.array(values, kind) for name, (kind, values) in columns.items()})


ends = lambda bits: [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, None, 0]
most = lambda bits: [0, 2**bits - 1, None, 1]
times = [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), None, datetime.datetime(1969, 12, 31, 23, 59, 59, 1)]
millis = [None if at is None else at.replace(microsecond=at.microsecond // 1000 * 1000) for at in times]
nano = [0, -1, None, 2**63 - 1]
nines = lambda digits, scale: [D(sign + "9" * digits).scaleb(-scale) for sign in ("", "-")] + [None, D(5).scaleb(-scale)]
with decimal.localcontext() as cx:
    cx.prec = 100
    decimals = {
        f"d{digits}_{scale}": (pa.decimal256(digits, scale) if digits > 38 else pa.decimal128(digits, scale), nines(digits, scale))
        for digits, scale in [(4, 2), (9, 0), (18, 5), (19, 19), (38, 10), (38, 0), (39, 3), (76, 38)]
    }
    parquet("decimals.parquet", table(**decimals))
    parquet("decimals-as-integers.parquet", table(**{k: v for k, v in decimals.items() if k in ("d4_2", "d9_0", "d18_5")}), store_decimal_as_integer=True)

scalars = table(
    boolean=(pa.bool_(), [True, False, None, True]),
    i8=(pa.int8(), ends(8)), i16=(pa.int16(), ends(16)), i32=(pa.int32(), ends(32)), i64=(pa.int64(), ends(64)),
    u8=(pa.uint8(), most(8)), u16=(pa.uint16(), most(16)), u32=(pa.uint32(), most(32)), u64=(pa.uint64(), most(64)),
    half=(pa.float16(), [1.5, float("nan"), None, -0.0]),
    real=(pa.float32(), [0.1, float("inf"), None, 16777216.0]),
    double=(pa.float64(), [0.1, float("-inf"), None, 5e-324]),
    text=(pa.string(), ["", "größe \"\\\n\u0001\u2028😀", None, "x" * 300]),
    binary=(pa.binary(), [b"", b"\x00\xff", None, b"abc"]),
    fixed=(pa.binary(3), [b"abc", b"\x00\x00\xff", None, b"xyz"]),
    date=(pa.date32(), [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None, datetime.date(1970, 1, 2)]),
    time_ms=(pa.time32("ms"), [0, 86399999, None, 1]), time_us=(pa.time64("us"), [0, 86399999999, None, 1]),
    time_ns=(pa.time64("ns"), [0, 86399999999999, None, 1]),
    at_ms=(pa.timestamp("ms", "UTC"), millis), at_us=(pa.timestamp("us", "UTC"), times), at_ns=(pa.timestamp("ns", "UTC"), nano),
    local_ms=(pa.timestamp("ms"), millis), local_us=(pa.timestamp("us"), times), local_ns=(pa.timestamp("ns"), nano),
    abroad=(pa.timestamp("us", "Europe/Berlin"), times),
    words=(pa.dictionary(pa.int32(), pa.string()), ["a", "b", None, "a"]),
    nothing=(pa.null(), [None] * 4),
    duration=(pa.duration("us"), [1, -1, None, 0]),
).append_column("uuid", pa.array([uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), None, uuid.UUID(int=1)], pa.uuid())).append_column(
    "json", pa.array(['{"a": [1, 2.50]}', "null", None, '"x"'], pa.json_(pa.string())))
parquet("scalars.parquet", scalars)
parquet("int96.parquet", table(at=(pa.timestamp("ns"), nano + [-(2**63) + 1]), more=(pa.list_(pa.timestamp("ns")), [[0, None], [], None, [1, -1], [2**62]])), use_deprecated_int96_timestamps=True)

point = pa.struct([("x", pa.int32()), ("y", pa.string())])
parquet("nested.parquet", table(
    numbers=(pa.list_(pa.int64()), [[1, None, 3], [], None, [2**63 - 1]]),
    lists=(pa.list_(pa.list_(pa.string())), [[["a"], [], None], [], None, [[None]]]),
    point=(point, [{"x": 1, "y": "a"}, {"x": None, "y": None}, None, {"x": 2, "y": "ü"}]),
    points=(pa.list_(point), [[{"x": 1, "y": "a"}, None], [], None, [{"x": 2, "y": None}]]),
    named=(pa.map_(pa.string(), pa.float64()), [[("a", 1.5), ("b", None)], [], None, [("", 0.0)]]),
    numbered=(pa.map_(pa.int32(), pa.list_(pa.bool_())), [[(1, [True])], [], None, [(-2, None)]]),
    dated=(pa.map_(pa.date32(), pa.decimal128(5, 2)), [[(datetime.date(2026, 1, 2), D("1.50"))], [], None, [(datetime.date(1970, 1, 1), None)]]),
    by_point=(pa.map_(point, pa.string()), [[({"x": 1, "y": "a"}, "v")], [], None, [({"x": None, "y": "b"}, None)]]),
    deep=(pa.struct([("a", pa.struct([("b", pa.list_(pa.timestamp("ms", "UTC")))]))]), [{"a": {"b": [0, None]}}, {"a": None}, None, {"a": {"b": None}}]),
))

many = pa.table({"id": pa.array(range(1000)), "word": pa.array([f"word {n % 7}" if n % 5 else None for n in range(1000)]), "x": pa.array([n / 4 for n in range(1000)])})
parquet("groups.parquet", many, row_group_size=100, data_page_size=256, write_page_checksum=True)
few = many.slice(0, 40)
for how in ("none", "snappy", "gzip", "zstd", "lz4", "brotli"):
    parquet(f"{how}.parquet", few, compression=how)
encodings = {"id": "DELTA_BINARY_PACKED", "word": "DELTA_BYTE_ARRAY", "x": "BYTE_STREAM_SPLIT"}
parquet("encodings.parquet", few, use_dictionary=False, column_encoding=encodings, data_page_version="2.0", version="2.6")
parquet("no-rows.parquet", few.slice(0, 0))

duckdb.sql("""copy (select range as id, (range * 1000000007)::hugeint % 97 as huge, range::utinyint as tiny, (18446744073709551615 - range)::ubigint as big,
    (range / 7)::decimal(18, 6) as dec, uuid_text::uuid as uuid, ['a', 'b'][1 + range % 2]::enum('a', 'b') as letter,
    to_months((3 * range)::int) + to_days(range::int) + to_milliseconds(range * 61001) as span, time '12:34:56.789' as clock,
    timestamptz '2026-01-02 03:04:05.678901+02' + to_hours(range) as at, timestamp_ns '2026-01-02 03:04:05.678901234' as nano, timestamp_s '2026-01-02 03:04:05' as second,
    'x'::blob as bytes, [range, null] as list, {'a': range, 'b': ['ü']} as struct, map {range: 'v'} as map, '{"k": [1]}'::json as json
    from range(5), (select '00000000-0000-0000-0000-0000000000ff' as uuid_text)) to 'duckdb.parquet' (format parquet)""")
read("duckdb.parquet", duckdb.sql("select * from 'duckdb.parquet'").to_arrow_table(), ["json"])


def avro(name, schema, records, codec="null", compare=None, **how):
    with open(name, "wb") as out:
        fastavro.writer(out, schema, records, codec=codec, sync_marker=b"0123456789abcdef", **how)
    with open(name, "rb") as back, open(name + ".jsonl", "w") as out:
        for record in fastavro.reader(back):
            record = record if isinstance(record, dict) else {"value": record}
            out.write((compare or forms.datum)(record) + "\n")


def of(kind, **more):
    return {"type": kind, **more}


logical = lambda kind, logical, **more: of(kind, logicalType=logical, **more)
fields = {
    "nothing": "null", "boolean": "boolean", "int": "int", "long": "long", "double": "double",
    "bytes": "bytes", "string": "string", "maybe": ["null", "long"], "any": ["null", "string", "long", "boolean", of("array", items="int")],
    "fixed": of("fixed", name="three", size=3), "enum": of("enum", name="letters", symbols=["A", "B"]),
    "array": of("array", items=["null", "int"]), "map": of("map", values="string"),
    "record": of("record", name="inner", namespace="other", fields=[{"name": "a", "type": "int"}, {"name": "again", "type": ["null", "inner"]}]),
    "same": "letters", "elsewhere": "other.inner",
    "decimal": logical("bytes", "decimal", precision=10, scale=2), "huge": logical("bytes", "decimal", precision=60, scale=10),
    "small": logical("fixed", "decimal", name="sixteen", size=16, precision=38, scale=4),
    "uuid": logical("string", "uuid"), "date": logical("int", "date"), "time_ms": logical("int", "time-millis"), "time_us": logical("long", "time-micros"),
    "at_ms": logical("long", "timestamp-millis"), "at_us": logical("long", "timestamp-micros"),
    "local_ms": logical("long", "local-timestamp-millis"), "local_us": logical("long", "local-timestamp-micros"),
}
schema = fastavro.parse_schema(of("record", name="row", namespace="space", fields=[{"name": name, "type": kind} for name, kind in fields.items()]))
utc, time = datetime.timezone.utc, datetime.time(23, 59, 59, 999000)
with decimal.localcontext() as cx:
    cx.prec = 100
    row = dict(
        nothing=None, boolean=True, int=-(2**31), long=2**63 - 1, double=0.1, bytes=b"\x00\xff", string="größe \"\n😀", maybe=None, any="x", fixed=b"abc",
        enum="B", array=[1, None], map={"k": "v", "ü": ""}, record={"a": 1, "again": {"a": 2, "again": None}}, same="A", elsewhere={"a": 3, "again": None},
        decimal=D("-12345678.90"), huge=D("9" * 50 + "." + "9" * 10), small=D("-" + "9" * 34 + ".9999"), uuid=uuid.UUID(int=255), date=datetime.date(1, 1, 1),
        time_ms=time, time_us=datetime.time(0, 0, 0, 1), at_ms=datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, utc), at_us=datetime.datetime(1969, 12, 31, 23, 59, 59, 1, utc),
        local_ms=datetime.datetime(1, 1, 1), local_us=datetime.datetime(9999, 12, 31, 23, 59, 59, 999999))
    other = dict(row, int=2**31 - 1, long=-(2**63), double=float("nan"), bytes=b"", string="", maybe=-1, any=[1, -2], enum="A", array=[], map={}, boolean=False,
                 decimal=D("0.05"), huge=D("-0.0000000001"), small=D("0.0000"))
    avro("types.avro", schema, [row, other, dict(row, any=5), dict(other, any=True)])
singles = lambda record: forms.datum(record, True)
avro("float.avro", of("record", name="row", fields=[{"name": "f", "type": "float"}]), [{"f": 0.1}, {"f": float("-inf")}, {"f": 1e30}], compare=singles)
avro("long.avro", "long", [1, -1, 2**63 - 1])
numbers = of("record", name="row", fields=[{"name": "id", "type": "long"}, {"name": "word", "type": ["null", "string"]}])
words = [{"id": n, "word": f"word {n % 7}" if n % 5 else None} for n in range(1000)]
avro("blocks.avro", numbers, words, codec="deflate", sync_interval=300)
for codec in ("null", "deflate", "snappy", "zstandard", "bzip2", "xz"):
    avro(f"{codec}.avro", numbers, words[:40], codec=codec)
