"""A steady load over a long time, one record in a hundred bad: whether memory, threads, files or the journal grow.

    soak.py [--minutes 30] [--rate 1000] [--write]
"""
import argparse, os, shutil, signal, tempfile, threading, time
from kafka import Kafka, batch
from node import Node, Sampler
from postgres import Postgres
from report import publish, slope, table

PART = 0.1  # seconds between two portions of the load
WARM = 1 / 2  # of the time, which is not looked at: caches fill, and the dead letters whose chunks are not joined yet
MOST = 256  # MiB
GROWTH = 0.05  # of the mean, over the time that is looked at


def records(count):
    """Of users; each hundredth has an age that is no number."""
    return [f'{{"id":"u-{n:07}","name":"Anna Meyer","email":"anna.meyer{n}@example.com","age":{17 + n % 64 if n % 100 else chr(34) + "?" + chr(34)},"country":"DE",'
            f'"amount":{n % 500}.{n % 100:02},"ts":"2026-01-01T00:00:00.000Z","tags":["new","vip"],"address":{{"city":"Berlin","zip":"10115"}}}}'.encode()
            for n in range(count)]


class Feed(threading.Thread):
    """Feeds topic and file with the same records, so many a second, until it is told to end."""

    def __init__(self, kafka, topic, path, rate):
        super().__init__(daemon=True)
        self.kafka, self.topic, self.path, self.over, self.sent, self.bad = kafka, topic, path, threading.Event(), 0, 0
        values = records(max(int(rate * PART), 1))
        self.values, self.batch, self.lines = values, batch(values), b"".join(value + b"\n" for value in values)
        self.start()

    def run(self):
        begun, turn = time.monotonic(), 0
        with open(self.path, "ab", buffering=0) as file:
            while not self.over.wait(max(begun + turn * PART - time.monotonic(), 0)):
                self.kafka.produce(self.topic, turn % 4, self.batch)
                file.write(self.lines)
                self.sent += len(self.values)
                self.bad += -(-len(self.values) // 100)
                turn += 1

    def end(self):
        self.over.set()
        self.join()
        return self.sent


def balanced(metrics):
    return metrics["recordsRead"] == sum(metrics[f"records{fate}"] for fate in ("Filtered", "Delivered", "Absorbed", "Dead", "Lost", "InFlight"))


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--minutes", type=float, default=30)
    parse.add_argument("--rate", type=int, default=1_000)
    parse.add_argument("--write", action="store_true")
    options = parse.parse_args()
    folder = tempfile.mkdtemp(prefix="dataflow-bench-soak-")
    topic = f"bench-scale-soak-{os.getpid()}"
    source, target = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
    open(source, "w").close()
    kafka, postgres = Kafka(), Postgres()
    kafka.create(topic, 4)
    node = Node(folder, f'log.level = "warn"\n[connections.postgres.default]\nurl = "{postgres.url}"\n[connections.kafka.default]\nbrokers = "127.0.0.1:9092"\n')
    grown_up = {"type": "filter", "condition": "age > 18"}
    place = {"type": "map", "set": {"part": "meta.partition", "at": "meta.offset"}}
    specs = [
        {"pipelineId": "kafka-to-postgres", "source": {"type": "kafka", "topic": topic}, "transforms": [grown_up, place],
         "sink": {"type": "postgres", "table": "users", "key": ["part", "at"], "mode": "append",
                  "columns": {"part": "integer", "at": "bigint", "id": "text", "name": "text", "age": "integer", "amount": "decimal(12,2)", "ts": "timestamp"}}},
        {"pipelineId": "file-to-file", "source": {"type": "file", "path": source, "follow": True}, "transforms": [grown_up], "sink": {"type": "file", "path": target}},
    ]
    try:
        node.start()
        api = node.api()
        for spec in specs:
            api.create(spec)
            api.start(spec["pipelineId"])
        feed = Feed(kafka, topic, source, options.rate)
        sampler = Sampler(5, lambda: {**node.stat(), "journal": node.journal_bytes() / (1 << 20)})
        for minute in range(1, int(options.minutes) + 1):
            time.sleep(60)
            last = sampler.samples[-1][1]
            print(minute, " ".join(f"{name} {value:.1f}" for name, value in last.items()), flush=True)
        time.sleep(options.minutes % 1 * 60)
        samples, sent = sampler.end(), feed.end()

        until = time.monotonic() + 120
        views = []
        while time.monotonic() < until:
            views = [api.get(spec["pipelineId"]) for spec in specs]
            if all(view["metrics"]["recordsRead"] == sent and not view["metrics"]["recordsInFlight"] for view in views):
                break
            time.sleep(0.2)
        with postgres.connect() as sql:
            rows = int(sql.value("select count(*) from users"))
        with open(target, "rb") as file:
            lines = sum(1 for _ in file)
        for view, there in zip(views, (rows, lines)):
            metrics = view["metrics"]
            if not balanced(metrics) or metrics["recordsRead"] != sent or metrics["recordsDelivered"] != there or metrics["recordsDead"] != feed.bad:
                raise SystemExit(f"{view['pipelineId']}: {sent} were sent, {there} are there, the ledger says {metrics}")
        node.end()

        begin = samples[-1][0] * WARM
        kept = [(at, sample) for at, sample in samples if at >= begin]
        lines_of, grows = [], []
        for name, what in [("rss", "memory, MiB"), ("own", "… without the pages of the program, MiB"), ("threads", "threads"), ("files", "open files"), ("journal", "journal on disk, MiB")]:
            values = [sample[name] for _, sample in kept]
            mean, span = sum(values) / len(values), kept[-1][0] - kept[0][0]
            growth = slope([(at, sample[name]) for at, sample in kept]) * span
            lines_of.append([what, f"{values[0]:.1f}", f"{mean:.1f}", f"{max(values):.1f}", f"{growth:+.1f}"])
            if name not in ("rss", "journal") and growth > GROWTH * mean:
                grows.append(what)
        peak = max(sample["peak"] for _, sample in samples)
        cpu = (samples[-1][1]["cpu"] - samples[0][1]["cpu"]) / (samples[-1][0] - samples[0][0])
        dead = 2 * feed.bad
        text = table(["", "after the warm-up", "mean", "most", "growth by the fitted line"], lines_of)
        text += (f"\n\n{options.minutes:g} minutes, {options.rate:,} records a second into each of two pipelines, {sent:,} each; the first half is warm-up. Peak memory {peak:.0f} MiB, "
                 f"{cpu * 100:.0f} % of a core. Every record is there once, {dead:,} bad ones are kept as dead letters in the journal, both ledgers balance.")
        publish("soak", text, options.write)
        if grows or peak > MOST:
            raise SystemExit(f"what must hold does not hold: {', '.join(grows) or 'peak memory'}")
    finally:
        node.end(signal.SIGKILL)
        postgres.end()
        Kafka().delete(topic)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
