#!/usr/bin/env python3
"""What the data says should be in a sink, against what is there.

check.py count DATA                      how many records have age > 18
check.py lines FILE… DATA                the filtered records, each once (W1, KF): JSON, or Java's way to print a map
check.py mapped FILE… DATA               the same, changed as W2 says
check.py table URI TABLE DATA            the same as rows (W3)
check.py windows FILE… DATA              counts and sums per window and country (W5)
check.py index URL INDEX DATA            all records as documents (KO)
check.py bucket URL DATA                 all records in the objects of a bucket (KS)
check.py lines-in-bucket URL             how many lines they have; 0 while more come
check.py csv DATA                        the rows of W3 as CSV, to standard output

FILE may be a folder: all files in it, except hidden ones.
"""
import csv, datetime, json, os, re, subprocess, sys, time, urllib.parse, urllib.request
from collections import defaultdict
from xml.etree import ElementTree

COLUMNS = ["id", "name", "email", "age", "country", "amount", "ts"]


def records(data):
    for line in open(data, "rb"):
        record = json.loads(line)
        if record["age"] > 18:
            yield record


def lines(paths):
    for path in paths:
        inside = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names if name[0] != "."]
        for file in inside or [path]:
            yield from open(file, encoding="utf-8")


def moment(text):
    """Without what is notation only: T, Z, +00, and zeros at the end of a fraction."""
    return re.sub(r"(\.\d*?)0+$", r"\1", re.sub(r"[TZ]|\+00$", " ", text).strip()).rstrip(".")


def essence(record):
    """What every peer writes of a record; times in more than one notation."""
    name = "uid" if "uid" in record else "id"
    return (record[name], record["name"], record["email"], int(record["age"]), record["country"],
            round(float(record["amount"]) * 100), moment(record["ts"]))


def changed(record):
    return essence(record) + (record["full"], round(record["amount_cents"]), "tags" in record)


def java_map(line):
    """{name=Dana Eze, age=20, …} as a record."""
    fields = ((name, re.search(rf"[{{ ]{name}=([^,}}]*)", line)) for name in COLUMNS)
    return {name: found.group(1) if found else "" for name, found in fields}


def compare(expected, found):
    expected, seen, wrong = set(expected), set(), 0
    for row in found:
        if row in seen or row not in expected:
            wrong += 1
        seen.add(row)
    missing = len(expected - seen)
    print(f"{len(seen)} rows, {wrong} wrong or doubled, {missing} missing")
    sys.exit(bool(wrong or missing))


def parse(line):
    return java_map(line) if line.startswith("{id=") or "=" in line[:12] else json.loads(line)


def windows(paths, data):
    expected = defaultdict(lambda: [0, 0])
    for line in open(data, "rb"):
        record = json.loads(line)
        window = expected[record["country"], record["ts"][:16]]
        window[0] += 1
        window[1] += round(record["amount"] * 100)
    found = {}
    for line in lines(paths):
        row = json.loads(line)
        if isinstance(row, list):  # [country, minutes since 2026, count, sum, mean]
            start = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=row[1])
            row = {"country": row[0], "start": start.isoformat(), "n": row[2], "total": row[3]}
        start = row.get("start") or row["window_start"].replace(" ", "T")
        found[row["country"], start[:16]] = [row["n"], round(row["total"] * 100)]
    wrong = sum(found.get(key) != value for key, value in expected.items())
    print(f"{len(found)} of {len(expected)} windows, {wrong} wrong or missing")
    sys.exit(bool(wrong or len(found) != len(expected)))


def table(uri, name):
    query = f"copy (select {', '.join(COLUMNS[:-1])}, to_char(ts at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') from {name} as rows) to stdout (format csv)"
    text = subprocess.Popen(["psql", "-qAtX", uri, "-c", query], stdout=subprocess.PIPE, text=True).stdout
    for row in csv.reader(text):
        yield essence(dict(zip(COLUMNS, row)))


def documents(server, index):
    def ask(path, body):
        request = urllib.request.Request(server + path, json.dumps(body).encode(), {"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    page = ask(f"/{index}/_search?scroll=1m", {"size": 10000, "sort": ["_doc"]})
    while page["hits"]["hits"]:
        yield from (essence(hit["_source"]) for hit in page["hits"]["hits"])
        page = ask("/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


def objects(bucket):
    """Path and size of each object of a bucket that everybody may read, without what a program keeps there for itself."""
    token = ""
    while token is not None:
        more = f"&continuation-token={urllib.parse.quote(token, safe='')}" if token else ""
        page = ElementTree.parse(urllib.request.urlopen(f"{bucket}?list-type=2{more}")).getroot()
        names = {"s3": page.tag[1:page.tag.index("}")]}
        for item in page.findall("s3:Contents", names):
            path = item.findtext("s3:Key", namespaces=names)
            if not path.startswith("_"):
                yield path, int(item.findtext("s3:Size", namespaces=names))
        token = page.findtext("s3:NextContinuationToken", namespaces=names)


def lines_in_bucket(bucket):
    for path, _ in objects(bucket):
        yield from urllib.request.urlopen(f"{bucket}/{urllib.parse.quote(path)}")


def settled_lines(bucket):
    """How many lines there are, once no more come; reading all of them at each look would be work for the server."""
    size = lambda: sum(size for _, size in objects(bucket))
    before = size()
    time.sleep(0.3)
    return sum(1 for _ in lines_in_bucket(bucket)) if size() == before else 0


def main():
    what, *args, data = sys.argv[1:]
    if what == "count":
        print(sum(1 for _ in records(data)))
    elif what == "csv":
        csv.writer(sys.stdout, lineterminator="\n").writerows([record[name] for name in COLUMNS] for record in records(data))
    elif what == "lines":
        compare(map(essence, records(data)), (essence(parse(line)) for line in lines(args)))
    elif what == "mapped":
        expected = ({**record, "full": record["name"].upper(), "amount_cents": round(record["amount"] * 100)} for record in records(data))
        expected = (changed({name: value for name, value in record.items() if name != "tags"}) for record in expected)
        compare(expected, (changed(json.loads(line)) for line in lines(args)))
    elif what == "table":
        compare(map(essence, records(data)), table(*args))
    elif what == "index":
        compare((essence(json.loads(line)) for line in open(data, "rb")), documents(*args))
    elif what == "bucket":
        compare((essence(json.loads(line)) for line in open(data, "rb")), (essence(json.loads(line)) for line in lines_in_bucket(*args)))
    elif what == "lines-in-bucket":
        print(settled_lines(data))
    elif what == "windows":
        windows(args, data)
    else:
        sys.exit(__doc__)


main()
