"""Pathway: WORKLOAD = w1 (file->file, static), w3 (Kafka->Postgres), w4 (Kafka->Kafka), w5 (file, tumbling windows)."""
import os

import pathway as pw

E = os.environ
W = E["WORKLOAD"]


class User(pw.Schema):  # "id" is a reserved column name in Pathway: it is read as uid
    uid: str
    user_id: int
    name: str
    email: str
    age: int
    country: str
    amount: float
    ts: str


class Keyed(pw.Schema):
    uid: str = pw.column_definition(primary_key=True)
    name: str
    email: str
    age: int
    country: str
    amount: float
    ts: str


class Whole(User):
    tags: pw.Json
    address: pw.Json


if W in ("w3", "w4"):
    rd = {"bootstrap.servers": E["KAFKA"], "group.id": E["GROUP"], "auto.offset.reset": "earliest"}
    sch = Keyed if W == "w3" else Whole
    t = pw.io.kafka.read(rd, topic=E["TOPIC"], format="json", schema=sch, mode="static", autocommit_duration_ms=1000, json_field_paths={"uid": "/id"})
else:
    t = pw.io.jsonlines.read(E["DATA"], schema=Whole if W == "w1" else User, mode="static", json_field_paths={"uid": "/id"})
r = t.filter(t.age > 18)
if W == "w1":
    pw.io.jsonlines.write(r, E["SINK"])
elif W == "w3":
    pw.io.postgres.write(r, {"host": "127.0.0.1", "port": "5432", "dbname": "dataflow_bench", "user": "dataflow", "password": "dataflow"},
                         "users_pathway", output_table_type="snapshot", primary_key=[r.uid], max_batch_size=5000)
elif W == "w4":
    pw.io.kafka.write(r, {"bootstrap.servers": E["KAFKA"], "linger.ms": "20"}, E["OUTTOPIC"], format="json")
elif W == "w5":
    t = t.select(t.country, t.amount, at=t.ts.dt.strptime("%Y-%m-%dT%H:%M:%S.%fZ", contains_timezone=False))
    r = t.windowby(t.at, window=pw.temporal.tumbling(duration=pw.Duration(minutes=1)), instance=t.country).reduce(
        country=pw.this._pw_instance, start=pw.this._pw_window_start, n=pw.reducers.count(), total=pw.reducers.sum(pw.this.amount),
        mean=pw.reducers.avg(pw.this.amount))
    pw.io.jsonlines.write(r, E["SINK"])
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
