"""The sink stands still for a long time with much to read before it: what a node holds in memory meanwhile, and whether all is well afterwards.

    stopped_sink.py [--minutes 10] [--records 2000000] [--limits 16,64] [--write]
"""
import argparse, os, shutil, signal, tempfile, time
from kafka import Kafka, batch
from node import Node, Sampler
from postgres import Postgres
from report import publish, table
from soak import balanced, records

PARTITIONS = 4
MOST = 256  # MiB


class Run:
    """A node with one pipeline that may have so many MiB in flight."""

    def __init__(self, folder, limit, topic, postgres):
        self.limit, self.name, self.empty = limit, f"limit-{limit}", 0
        connections = f'[connections.postgres.default]\nurl = "{postgres.url}"\n[connections.kafka.default]\nbrokers = "127.0.0.1:9092"\n'
        self.node = Node(os.path.join(folder, self.name), f'log.level = "warn"\n{connections}')
        self.spec = {"pipelineId": self.name, "maxInFlightBytes": limit << 20, "source": {"type": "kafka", "topic": topic},
                     "transforms": [{"type": "filter", "condition": "age > 18"}, {"type": "map", "set": {"part": "meta.partition", "at": "meta.offset"}}],
                     "sink": {"type": "postgres", "table": f"users_{limit}", "key": ["part", "at"], "mode": "append",
                              "columns": {"part": "integer", "at": "bigint", "id": "text", "name": "text", "age": "integer", "amount": "decimal(12,2)", "ts": "timestamp"}}}

    def start(self):
        self.node.start()
        self.empty = self.node.stat()["rss"]
        self.node.api().create(self.spec)
        self.node.api().start(self.name)

    def view(self):
        return self.node.api().get(self.name)

    def look(self):
        return {**self.node.stat(), **self.view()["metrics"]}

    def check(self, sent, sql):
        metrics, rows = self.view()["metrics"], int(sql.value(f"select count(*) from users_{self.limit}"))
        if not balanced(metrics) or rows != metrics["recordsDelivered"] or metrics["recordsDead"] != sent // 100 or metrics["recordsRead"] != sent:
            raise SystemExit(f"{self.name}: {sent} were sent, {rows} are there, the ledger says {metrics}")


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("--minutes", type=float, default=10)
    parse.add_argument("--records", type=int, default=2_000_000)
    parse.add_argument("--limits", default="16,64", help="maxInFlightBytes, in MiB, of a node each")
    parse.add_argument("--write", action="store_true")
    options = parse.parse_args()
    folder = tempfile.mkdtemp(prefix="dataflow-bench-stopped-sink-")
    topic = f"bench-scale-stopped-{os.getpid()}"
    kafka, postgres = Kafka(), Postgres()
    kafka.create(topic, PARTITIONS)
    values = records(1_000)
    portion, size, turns = batch(values), sum(map(len, values)) / len(values), options.records // len(values)
    for turn in range(turns):
        kafka.produce(topic, turn % PARTITIONS, portion)
    sent = turns * len(values)
    runs = [Run(folder, int(limit), topic, postgres) for limit in options.limits.split(",")]
    try:
        for run in runs:
            run.start()
        while min(run.view()["metrics"]["recordsDelivered"] for run in runs) < sent // 20:
            time.sleep(0.05)
        before = [run.look() for run in runs]
        postgres.freeze()
        try:
            sampler, over = Sampler(5, lambda: [run.look() for run in runs]), time.monotonic() + options.minutes * 60
            while time.monotonic() < over:
                time.sleep(min(60, max(over - time.monotonic(), 0)))
                print([(run.name, f"{last['rss']:.0f} MiB", last["recordsInFlight"]) for run, last in zip(runs, sampler.samples[-1][1])], flush=True)
            samples = [sample for _, sample in sampler.end()]
        finally:
            postgres.thaw()
        begun = time.monotonic()
        while any((metrics := run.view()["metrics"])["recordsRead"] < sent or metrics["recordsInFlight"] for run in runs):
            if time.monotonic() - begun > 600:
                raise SystemExit(f"it does not come to its end: {[run.view() for run in runs]}")
            time.sleep(0.1)
        drained = time.monotonic() - begun
        with postgres.connect() as sql:
            for run in runs:
                run.check(sent, sql)
        rows, broken = [], []
        for at, run in enumerate(runs):
            memory = [sample[at]["rss"] for sample in samples]
            flight = max(sample[at]["recordsInFlight"] for sample in samples) * size / (1 << 20)
            peak = run.node.stat()["peak"]
            rows.append([run.limit, f"{flight:.1f}", f"{run.empty:.0f}", f"{before[at]['rss']:.0f}", f"{memory[0]:.0f}, {max(memory):.0f}, {memory[-1]:.0f}", f"{peak:.0f}"])
            if flight > run.limit or peak > MOST:
                broken.append(run.name)
            run.node.end()
        text = table(["`maxInFlightBytes`, MiB", "records in flight at most, MiB", "memory of the empty node, MiB", "when the sink stopped", "while it stood still: first, most, last", "peak of the run"], rows)
        waited = sent - samples[0][0]["recordsRead"]
        text += (f"\n\nAll processes of the PostgreSQL server were stopped (SIGSTOP) for {options.minutes:g} minutes, about {waited:,} records of {size:.0f} bytes waiting in Kafka; {drained:.0f} s after they "
                 f"went on, all {sent:,} records were dealt with by each node: every one is there once or is one of the {sent // 100:,} dead letters, and the ledgers balance.")
        publish("stopped-sink", text, options.write)
        if broken:
            raise SystemExit(f"what must hold does not hold: {', '.join(broken)}")
    finally:
        for run in runs:
            run.node.end(signal.SIGKILL)
        postgres.end()
        Kafka().delete(topic)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
