"""How long a single record takes from where it is made to where it can be seen, on a node with nothing else to do.

    latency.py [--records 300] [--write]
"""
import argparse, os, random, shutil, signal, sqlite3, tempfile, time
from kafka import Kafka, batch
from node import Node
from postgres import Postgres
from report import ms, percentile, publish, table

LONGEST = 30


def until(seen):
    """Looks again and again, each millisecond."""
    deadline = time.monotonic() + LONGEST
    while not seen():
        if time.monotonic() > deadline:
            raise SystemExit(f"a record was not seen within {LONGEST} s")
        time.sleep(0.001)


def measure(count, send, seen):
    """Sends one record after the other, each some time after the last was seen; seconds of each."""
    chance, taken = random.Random(1), []
    for number in range(count + 10):
        time.sleep(chance.uniform(0.02, 0.3))
        begun = time.monotonic()
        send(number)
        until(lambda: seen(number))
        taken.append(time.monotonic() - begun)
    return taken[10:]


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--records", type=int, default=300)
    parse.add_argument("--write", action="store_true")
    options = parse.parse_args()
    folder = tempfile.mkdtemp(prefix="dataflow-bench-latency-")
    topic = f"bench-scale-latency-{os.getpid()}"
    source, target, database = (os.path.join(folder, name) for name in ("in.jsonl", "out.jsonl", "out.db"))
    open(source, "w").close()
    kafka, postgres = Kafka(), Postgres()
    kafka.create(topic, 1)
    node = Node(folder, f'log.level = "warn"\n[connections.postgres.default]\nurl = "{postgres.url}"\n[connections.kafka.default]\nbrokers = "127.0.0.1:9092"\n')
    sql = postgres.connect()
    columns = {"n": "bigint", "at": "double"}
    try:
        node.start()
        api = node.api()
        filtered = {"transforms": [{"type": "filter", "condition": "n >= 0"}]}

        def pushes(name):
            def push(number):
                body = {"batchId": str(number), "records": [{"data": {"n": number, "at": time.time()}}]}
                api.ask("POST", f"/api/pipelines/{name}/batches", body)
            return push

        def row(name):
            return lambda number: sql.query(f"select 1 from {name} where n = {number}")

        def appended(number):
            with open(source, "a") as file:
                file.write(f'{{"n":{number},"at":{time.time()}}}\n')

        def line(number):
            # One line each, of which the last is looked for.
            if not os.path.exists(target):
                return False
            with open(target, "rb") as file:
                file.seek(max(os.path.getsize(target) - 100, 0))
                return f'"n":{number},'.encode() in file.read()

        def in_sqlite(number):
            try:
                with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
                    return db.execute("select 1 from pushed where n = ?", [number]).fetchone()
            except sqlite3.OperationalError:
                return None

        pairs = {
            "`http` push → `sqlite` row": ("a", {"source": {"type": "http"}, "sink": {"type": "sqlite", "path": database, "table": "pushed", "mode": "append", "columns": columns}},
                                           pushes("a"), in_sqlite),
            "`http` push → `postgres` row": ("b", {"source": {"type": "http"}, "sink": {"type": "postgres", "table": "b", "mode": "append", "columns": columns}}, pushes("b"), row("b")),
            "line of a followed `file` → line in a `file`": ("c", {"source": {"type": "file", "path": source, "follow": True}, "sink": {"type": "file", "path": target}}, appended, line),
            "`kafka` record → `postgres` row": ("d", {"source": {"type": "kafka", "topic": topic}, "sink": {"type": "postgres", "table": "d", "mode": "append", "columns": columns}},
                                                lambda number: kafka.produce(topic, 0, batch([f'{{"n":{number},"at":{time.time()}}}'.encode()])), row("d")),
        }
        pairs["the same, `linger: 0ms`"] = ("e", {**pairs["`kafka` record → `postgres` row"][1], "batch": {"linger": "0ms"},
                                                  "sink": {"type": "postgres", "table": "e", "mode": "append", "columns": columns}},
                                            pairs["`kafka` record → `postgres` row"][2], row("e"))
        sql.query("create table b (n bigint, at double precision); create table d (n bigint, at double precision); create table e (n bigint, at double precision)")
        rows = []
        for what, (name, spec, send, seen) in pairs.items():
            if name == "e":
                spec["source"] = {**spec["source"], "start": "latest"}
            api.create({"pipelineId": name, **filtered, **spec})
            api.start(name)
            until(lambda: "at" not in (view := api.get(name)) and view["status"] == "running" and not view["error"])
            time.sleep(3)
            taken = measure(options.records, send, seen)
            rows.append([what, len(taken), ms(percentile(taken, 0.5)), ms(percentile(taken, 0.99)), ms(max(taken))])
            print(rows[-1], flush=True)
            api.stop(name)
        publish("latency", table(["from → to", "records", "p50 ms", "p99 ms", "longest ms"], rows), options.write)
    finally:
        node.end(signal.SIGKILL)
        postgres.end()
        Kafka().delete(topic)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
