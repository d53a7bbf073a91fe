"""Bytewax: W1/W2 file->file, W3 Kafka->Postgres, W4 Kafka->Kafka, W5 windows from Kafka to a file. WORKLOAD=w1 … in the environment."""
import os
from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import orjson
from bytewax.connectors.files import FileSink, FileSource
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource, KafkaSink
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition

E = os.environ
W = E["WORKLOAD"]
flow = Dataflow(W)


class PgPart(StatelessSinkPartition):
    def __init__(self):
        import psycopg2
        from psycopg2.extras import execute_values
        self.ev = execute_values
        self.db = psycopg2.connect(E["PGURI"])
        self.cur = self.db.cursor()

    def write_batch(self, rows):
        self.ev(self.cur, "insert into users values %s on conflict (id) do update set name=excluded.name, email=excluded.email, "
                "age=excluded.age, country=excluded.country, amount=excluded.amount, ts=excluded.ts", rows, page_size=1000)
        self.db.commit()


class Pg(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return PgPart()


def kafka():
    return op.input("in", flow, KafkaSource([E["KAFKA"]], [E["TOPIC"]], tail=False, batch_size=1000))


if W == "w1":
    s = op.input("in", flow, FileSource(E["DATA"], batch_size=1000))
    s = op.filter("f", s, lambda l: orjson.loads(l)["age"] > 18)
    op.output("out", op.key_on("k", s, lambda l: "x"), FileSink(E["SINK"]))
elif W == "w2":
    def m(l):
        d = orjson.loads(l)
        if d["age"] <= 18:
            return None
        d["full"] = d["name"].upper()
        d["amount_cents"] = round(d["amount"] * 100)
        del d["tags"]
        return orjson.dumps(d).decode()
    s = op.filter_map("m", op.input("in", flow, FileSource(E["DATA"], batch_size=1000)), m)
    op.output("out", op.key_on("k", s, lambda l: "x"), FileSink(E["SINK"]))
elif W == "w3":
    def m3(msg):
        d = orjson.loads(msg.value)
        return (d["id"], d["name"], d["email"], d["age"], d["country"], d["amount"], d["ts"]) if d["age"] > 18 else None
    op.output("out", op.filter_map("m", kafka(), m3), Pg())
elif W == "w4":
    s = op.filter_map("f", kafka(), lambda x: KafkaSinkMessage(x.key, x.value) if orjson.loads(x.value)["age"] > 18 else None)
    op.output("out", s, KafkaSink([E["KAFKA"]], E["OUTTOPIC"], add_config={"linger.ms": "20"}))
elif W == "w5":
    import bytewax.operators.windowing as win

    def row(msg):
        d = orjson.loads(msg.value)
        return d["country"], (datetime.fromisoformat(d["ts"].replace("Z", "+00:00")), d["amount"])
    clock = win.EventClock(lambda x: x[0], wait_for_system_duration=timedelta(seconds=5))
    w = win.TumblingWindower(length=timedelta(minutes=1), align_to=datetime(2026, 1, 1, tzinfo=timezone.utc))
    s = win.fold_window("w", op.map("r", kafka(), row), clock, w, lambda: (0, 0.0), lambda a, x: (a[0] + 1, a[1] + x[1]),
                        lambda a, b: (a[0] + b[0], a[1] + b[1]))
    o = op.map("o", s.down, lambda x: ("x", orjson.dumps([x[0], x[1][0], x[1][1][0], x[1][1][1], x[1][1][1] / x[1][1][0]]).decode()))
    op.output("out", o, FileSink(E["SINK"]))
