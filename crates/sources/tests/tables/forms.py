"""What a value is in a record, by the table in docs/guides/columns.md: written from that table, not from the program.

`arrow` gives the JSON text of a value that pyarrow has read, `datum` that of one that fastavro has read.
"""
import base64, datetime, decimal, json, struct, uuid
import pyarrow as pa

EPOCH = datetime.date(1970, 1, 1).toordinal()
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def text(value):
    return json.dumps(value, ensure_ascii=False)


def real(value, single=False):
    """The fewest digits that give the number back, as Rust writes them."""
    if value != value:
        return '"NaN"'
    if value in (float("inf"), float("-inf")):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    shortest = repr(value)
    if single:
        shortest = next(t for t in (f"{value:.{n}g}" for n in range(1, 18)) if struct.pack("f", float(t)) == struct.pack("f", value))
    sign, digits, exponent = decimal.Decimal(shortest).as_tuple()
    digits = "".join(map(str, digits))
    while len(digits) > 1 and digits[-1] == "0":
        digits, exponent = digits[:-1], exponent + 1
    if digits == "0":
        return "-0.0" if sign else "0.0"
    point = len(digits) + exponent
    if exponent >= 0 and point <= (13 if single else 16):
        body = digits + "0" * exponent + ".0"
    elif 0 < point <= 16:
        body = digits[:point] + "." + digits[point:]
    elif -5 < point <= 0:
        body = "0." + "0" * -point + digits
    else:
        body = digits[0] + ("." + digits[1:] if digits[1:] else "") + f"e{point - 1:+}"
    return "-" * sign + body


def date(days):
    try:
        return datetime.date.fromordinal(days + EPOCH).isoformat()
    except (ValueError, OverflowError):
        # Beyond Python's calendar: by whole cycles of 400 years.
        cycles = (days + EPOCH) // 146097 - 5
        day = datetime.date.fromordinal(days + EPOCH - cycles * 146097)
        year = day.year + 400 * cycles
        sign = "+" if year > 9999 else "-" if year < 0 else ""
        return f"{sign}{abs(year):04}-{day.month:02}-{day.day:02}"


def clock(value, unit):
    seconds, part = divmod(value, unit)
    body = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return body + (f".{part:0{len(str(unit)) - 1}}".rstrip("0") if part else "")


def moment(value, unit, utc):
    days, rest = divmod(value, 86400 * unit)
    return text(f"{date(days)}T{clock(rest, unit)}{'Z' if utc else ''}")


def interval(months, days, nanos):
    """As PostgreSQL writes it."""
    parts, negative = [], False
    years, months = int(months / 12), months - 12 * int(months / 12)
    for value, unit in ((years, "year"), (months, "mon"), (days, "day")):
        if value:
            parts.append(f"{'+' if negative and value > 0 else ''}{value} {unit}{'' if value == 1 else 's'}")
            negative = value < 0
    if nanos or not parts:
        sign = "-" if nanos < 0 else "+" if negative else ""
        parts.append(sign + clock(abs(nanos), 10**9))
    return text(" ".join(parts))


def key(written):
    return written if written.startswith('"') else f'"{written}"'


def arrow(scalar):
    kind = scalar.type
    if not scalar.is_valid or pa.types.is_null(kind):
        return "null"
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return text(str(scalar.as_py()))
        if kind.extension_name == "arrow.json":
            return scalar.as_py()
        return arrow(scalar.value)
    if pa.types.is_dictionary(kind):
        return arrow(scalar.value)
    if pa.types.is_boolean(kind):
        return "true" if scalar.as_py() else "false"
    if pa.types.is_integer(kind):
        return str(scalar.as_py())
    if pa.types.is_floating(kind):
        return real(float(scalar.as_py()), kind.bit_width < 64)
    if pa.types.is_decimal(kind):
        return format(scalar.as_py(), "f")
    if pa.types.is_date32(kind):
        return text(date(scalar.value))
    if pa.types.is_time(kind):
        return text(clock(scalar.value, UNITS[kind.unit]))
    if pa.types.is_timestamp(kind):
        return moment(scalar.value, UNITS[kind.unit], kind.tz is not None)
    if pa.types.is_duration(kind):
        return str(scalar.value)
    if pa.types.is_interval(kind):
        value = scalar.as_py()
        return interval(value.months, value.days, value.nanoseconds)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return text(scalar.as_py())
    if pa.types.is_map(kind):
        entries = [(entry["key"], entry["value"]) for entry in scalar.values]
        if pa.types.is_nested(kind.key_type):
            return "[" + ",".join('{"key":%s,"value":%s}' % (arrow(k), arrow(v)) for k, v in entries) + "]"
        return "{" + ",".join(f"{key(arrow(k))}:{arrow(v)}" for k, v in entries) + "}"
    if pa.types.is_struct(kind):
        return "{" + ",".join(f"{text(field.name)}:{arrow(scalar[nth])}" for nth, field in enumerate(kind)) + "}"
    if pa.types.is_nested(kind):
        return "[" + ",".join(arrow(item) for item in scalar.values) + "]"
    value = scalar.as_py()
    assert isinstance(value, bytes), kind
    return text(base64.b64encode(value).decode())


def rows(table, json=()):
    columns = [(text(name), table.column(nth)) for nth, name in enumerate(table.column_names)]
    for row in range(table.num_rows):
        values = ((name, column[row]) for name, column in columns)
        yield "{" + ",".join(f"{name}:{value.as_py() if name in map(text, json) else arrow(value)}" for name, value in values) + "}"


def datum(value, single=False):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return real(value, single)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, uuid.UUID):
        return text(str(value))
    if isinstance(value, datetime.datetime):
        seconds = (value.replace(tzinfo=None) - datetime.datetime(1970, 1, 1))
        micros = (seconds.days * 86400 + seconds.seconds) * 10**6 + seconds.microseconds
        return moment(micros, 10**6, value.tzinfo is not None)
    if isinstance(value, datetime.date):
        return text(value.isoformat())
    if isinstance(value, datetime.time):
        return text(clock((value.hour * 3600 + value.minute * 60 + value.second) * 10**6 + value.microsecond, 10**6))
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (bytes, bytearray)):
        return text(base64.b64encode(value).decode())
    if isinstance(value, dict):
        return "{" + ",".join(f"{text(k)}:{datum(v, single)}" for k, v in value.items()) + "}"
    return "[" + ",".join(datum(item, single) for item in value) + "]"
