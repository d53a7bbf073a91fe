"""Many pipelines on one node: what the API takes, what memory they need, how many connections they use, how fast the node is up again.

    fleet.py [--running 200] [--idle 800] [--stopped 10000] [--seconds 60] [--awake 400] [--write]
"""
import argparse, random, shutil, signal, tempfile, threading, time
from concurrent.futures import ThreadPoolExecutor
from node import Node, Sampler
from postgres import Postgres
from report import ms, percentile, publish, table

CAP = 16  # connections that the node may have to the server
CLIENTS = 8

def to_postgres(name, rate):
    """Few records: each pipeline its own table."""
    return {"pipelineId": name, "labels": {"kind": "fleet"}, "source": {"type": "generate", "rate": rate, "schema": {
        "id": {"type": "sequence"}, "name": {"type": "name"}, "age": {"type": "integer", "min": 17, "max": 80}}},
        "transforms": [{"type": "filter", "condition": "age > 18"}],
        "sink": {"type": "postgres", "table": name.replace("-", "_"), "mode": "append"}}

def to_nowhere(name):
    spec = to_postgres(name, 1)
    return {**spec, "labels": {"kind": "stopped"}, "sink": {"type": "blackhole"}}

def idle(name):
    return {"pipelineId": name, "labels": {"kind": "idle"}, "source": {"type": "http"}, "sink": {"type": "postgres", "table": "idle", "mode": "append",
            "columns": {"id": "bigint"}}}

class Fleet:
    def __init__(self, node, postgres):
        self.node, self.postgres, self.local = node, postgres, threading.local()

    def api(self):
        """This thread's connection to the node as it is now."""
        if getattr(self.local, "pid", None) != self.node.process.pid:
            self.local.pid, self.local.api = self.node.process.pid, self.node.api()
        return self.local.api

    def each(self, do, names):
        """Does something with each pipeline, a few at once; seconds in all."""
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(lambda name: do(self.api(), name), names))
        return time.monotonic() - begun

    def going_on(self, since, count):
        """Seconds until so many pipelines have committed something after that time of the server's."""
        begun = time.monotonic()
        with self.postgres.connect() as sql:
            while True:
                busy = int(sql.value(f"select count(distinct pipeline) from dataflow_tokens where updated_at > '{since}' and sequence > 0 and pipeline like 'run-%'"))
                if busy >= count:
                    return time.monotonic() - begun
                if time.monotonic() - begun > 120:
                    raise SystemExit(f"only {busy} of {count} pipelines go on after two minutes")
                time.sleep(0.05)

    def restart(self, how, count):
        """Ends the node and starts it again: seconds until it is gone, ready, and all pipelines go on."""
        with self.postgres.connect() as sql:
            gone = self.node.end(how)
            since = sql.value("select clock_timestamp()")
        begun = time.monotonic()
        ready = self.node.start()
        self.going_on(since, count)
        return gone, ready, time.monotonic() - begun

    def load(self, seconds, stopped, idle):
        """Asks the API about pipelines at random for a while, from a few connections; seconds of each request by its kind."""
        taken, over = {}, time.monotonic() + seconds

        def timed(what, ask, *given):
            begun = time.monotonic()
            answer = ask(*given)
            taken.setdefault(what, []).append(time.monotonic() - begun)
            return answer

        def client(number):
            chance, api = random.Random(number), self.node.api()
            while time.monotonic() < over:
                kind = chance.randrange(8)
                if kind == 0:
                    timed("list, 100 of all", api.ask, "GET", f"/api/pipelines?limit=100&after={chance.choice(stopped)}")
                elif kind == 1:
                    timed("list, 100 running", api.ask, "GET", "/api/pipelines?limit=100&status=running")
                elif kind <= 4:
                    timed("get", api.get, chance.choice(stopped if kind == 2 else running))
                elif kind <= 6:
                    # Each client has its own, so that none finds another's starting.
                    name = chance.choice(idle[number::CLIENTS])
                    timed("start", api.start, name)
                    timed("stop, settled", api.stop, name)
                else:
                    name = f"new-{number}-{chance.randrange(1 << 40)}"
                    timed("create", api.create, to_postgres(name, 1))
                    timed("delete", api.ask, "DELETE", f"/api/pipelines/{name}")
                time.sleep(chance.uniform(0, 0.1))

        running = [f"run-{number}" for number in range(self.running)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(client, range(CLIENTS)))
        return taken

def main():
    parse = argparse.ArgumentParser()
    for name, default in [("running", 200), ("idle", 800), ("stopped", 10_000), ("seconds", 60), ("awake", 400)]:
        parse.add_argument(f"--{name}", type=int, default=default)
    parse.add_argument("--write", action="store_true")
    options = parse.parse_args()

    folder = tempfile.mkdtemp(prefix="dataflow-bench-fleet-")
    postgres = Postgres(max_connections=100)
    node = Node(folder, f'log.level = "warn"\n[connections.postgres.default]\nurl = "{postgres.url}"\nmaxConnections = {CAP}\n')
    fleet = Fleet(node, postgres)
    fleet.running = options.running
    run, rest = [f"run-{number}" for number in range(options.running)], [f"rest-{number}" for number in range(options.idle)]
    stopped, awake = [f"stopped-{number}" for number in range(options.stopped)], [f"awake-{number}" for number in range(options.awake)]
    try:
        node.start()
        empty = node.stat()["rss"]

        watch = postgres.connect()
        connections = Sampler(0.2, lambda: int(watch.value("select count(*) from pg_stat_activity where application_name = 'dataflow'")))

        made = fleet.each(lambda api, name: api.create(to_postgres(name, 1)), run + rest)
        print(f"made {len(run + rest)} in {made:.1f} s", flush=True)
        since = watch_value(postgres, "select clock_timestamp()")
        begun = time.monotonic()
        asked = fleet.each(lambda api, name: api.start(name), run)
        fleet.going_on(since, len(run))
        storm = time.monotonic() - begun
        print(f"started {len(run)}: asked in {asked:.1f} s, all commit after {storm:.1f} s", flush=True)

        def begin_and_end(api, name):
            api.create(to_nowhere(name))
            api.start(name)
            api.stop(name)

        took = fleet.each(begin_and_end, stopped)
        print(f"made, started and stopped {len(stopped)} in {took:.1f} s, memory {node.stat()['rss']:.0f} MiB", flush=True)
        taken = fleet.load(options.seconds, stopped, rest)
        busy = node.stat()

        restarts = []
        for what, how in [("SIGTERM", signal.SIGTERM), ("kill -9", signal.SIGKILL)]:
            restarts.append((what, *fleet.restart(how, len(run))))
            print("restart", restarts[-1], flush=True)
            time.sleep(5)
        counts = check(fleet, run)

        # What one more pipeline costs, by the difference that many make to a fresh process.
        node.end()
        node.start()
        time.sleep(5)
        all_stopped = node.stat()["rss"]
        fleet.each(lambda api, name: api.create(idle(name)), awake)
        before = node.stat()
        fleet.each(lambda api, name: api.start(name), awake)
        time.sleep(5)
        after = node.stat()
        cpu = node.stat()["cpu"]
        time.sleep(10)
        idle_cpu = (node.stat()["cpu"] - cpu) / 10
        most = max(count for _, count in connections.end())
        journal = node.journal_bytes()
        node.end()

        kinds = ["list, 100 of all", "list, 100 running", "get", "create", "delete", "start", "stop, settled"]
        text = table(["request", "count", "p50 ms", "p99 ms", "longest ms"],
                     [[kind, len(taken[kind]), ms(percentile(taken[kind], 0.5)), ms(percentile(taken[kind], 0.99)), ms(max(taken[kind]))] for kind in kinds])
        stopped_count = len(stopped) + len(rest) + len(run)
        text += "\n\n" + table(["", "measured"], [
            [f"connections to PostgreSQL at most (cap: {CAP}), refused", f"{most}, {postgres.complaints()}"],
            [f"{len(run)} pipelines started at once: until each has committed", f"{storm:.1f} s"],
            [f"memory of the process: empty; with {stopped_count:,} stopped ones; while all of this was going on", f"{empty:.0f}; {all_stopped:.0f}; {busy['rss']:.0f} MiB (peak {busy['peak']:.0f})"],
            ["memory per stopped pipeline", f"{(all_stopped - empty) * 1024 / stopped_count:.1f} KiB"],
            [f"memory per idle running pipeline (`http` → `postgres`, of {len(awake)})", f"{(after['rss'] - before['rss']) * 1024 / len(awake):.0f} KiB"],
            ["processor time of the node while all those are idle", f"{idle_cpu * 100:.1f} % of a core"],
            ["threads, open files while all was going on", f"{busy['threads']}, {busy['files']}"],
            ["journal on disk", f"{journal / (1 << 20):.0f} MiB"],
        ])
        publish("fleet", text, options.write)
        total = len(run) + len(rest) + len(stopped)
        rows = [[what, f"{gone:.1f}", f"{ready:.1f}", f"{on:.1f}"] for what, gone, ready, on in restarts]
        publish("restart", table([f"a node with {total:,} pipelines, {len(run)} running, is ended by", "gone after s", "ready after s", "all have committed again after s"], rows)
                + f"\n\n{counts}", options.write)
        if most > CAP or postgres.complaints() or any(ready > 10 for _, _, ready, _ in restarts):
            raise SystemExit("what must hold does not hold")
    finally:
        node.end(signal.SIGKILL)
        postgres.end()
    shutil.rmtree(folder)

def watch_value(postgres, sql):
    with postgres.connect() as connection:
        return connection.value(sql)

def check(fleet, run):
    """Stops all running pipelines, and holds their tables against their ledgers."""
    fleet.each(lambda api, name: api.stop(name), run)
    rows = 0
    with fleet.postgres.connect() as sql:
        for name in run:
            ledger = fleet.api().get(name)["metrics"]
            there, distinct = sql.query(f'select count(*), count(distinct id) from "{name.replace("-", "_")}"')[0]
            if not int(there) == int(distinct) == ledger["recordsDelivered"] or ledger["recordsInFlight"] \
                    or ledger["recordsRead"] != ledger["recordsDelivered"] + ledger["recordsFiltered"]:
                raise SystemExit(f"{name}: {there} rows, {distinct} different ones, ledger {ledger}")
            rows += int(there)
    return f"Afterwards all {len(run)} were stopped, and their {rows:,} rows held against their ledgers: none lost, none doubled."

if __name__ == "__main__":
    main()
