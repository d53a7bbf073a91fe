#!/usr/bin/env python3
"""Pushes over HTTP to a node of its own; counted in the sink, CPU of the node alone. Environment: DATAFLOW, DATA, P, RESULTS, PASS.

1. 1,000 records a batch, 4 clients, into a file (exactly once): records per CPU-second of the node.
2. One record a batch, 64 clients: times of the answers; beside it a plain loop of INSERT and COMMIT with SQLite on the same disk.
"""
import itertools, json, os, shutil, signal, sqlite3, subprocess, sys, time, urllib.request

env = os.environ
PORT = env.get("HTTP_PORT", "18300")
API = f"http://127.0.0.1:{PORT}/api/pipelines"
FOLDER = os.path.join(env["P"], "out", "http")
PATIENCE = 120
HZ = os.sysconf("SC_CLK_TCK")


def post(url, value=None):
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(url, data=body, method="POST", headers={"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=30).read()


def until(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"http: {what} did not happen within {PATIENCE} s; see {FOLDER}")
        time.sleep(0.02)


def ready():
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/ready", timeout=5).status == 200
    except OSError:
        return False


def lines_of(records):
    """The first lines of the data."""
    with open(env["DATA"], "rb") as data:
        return list(itertools.islice(data, records))


def cpu(pid):
    stat = open(f"/proc/{pid}/stat").read()
    return sum(map(int, stat[stat.rindex(")") + 2:].split()[11:13])) / HZ


def peak_mib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")) / 1024


def push(name, clients, batch, records):
    command = [os.path.join(env["P"], "gen"), "-push", f"{API}/{name}", "-clients", clients, "-batch", batch, "-n", records]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"http: {done.stderr}")
    return json.loads(done.stdout)


def insert(records):
    """One transaction per record with SQLite as the journal sets it."""
    db = sqlite3.connect(os.path.join(FOLDER, "plain.db"), isolation_level=None)
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE record (id INTEGER PRIMARY KEY, body TEXT)")
    times = []
    for line in open(env["DATA"]).readlines(records * 233)[:records]:
        begun = time.monotonic()
        db.execute("INSERT INTO record (body) VALUES (?)", (line,))
        times.append((time.monotonic() - begun) * 1e3)
    seconds = sum(times) / 1e3
    times.sort()
    return {"records": len(times), "seconds": seconds, "p50_ms": times[len(times) // 2], "p99_ms": times[int(len(times) * 0.99)], "max_ms": times[-1]}


def pushed(node, name, clients, batch, records):
    """Pushes to a new pipeline into a file; what it took until all is in the file."""
    sink = os.path.join(FOLDER, name)
    spec = {"pipelineId": name, "source": {"type": "http"}, "sink": {"type": "file", "path": sink}}
    post(API, spec)
    post(f"{API}/{name}/start")
    before, begun = cpu(node.pid), time.monotonic()
    answers = push(name, clients, batch, records)
    size = sum(len(line) for line in lines_of(records))
    until(f"{records} records in {sink}", lambda: os.path.exists(sink) and os.path.getsize(sink) >= size)
    took = {"cpu": cpu(node.pid) - before, "delivered_seconds": time.monotonic() - begun}
    with open(sink, "rb") as found:
        right = sorted(found) == sorted(lines_of(records))
    return {"what": name, **answers, **took, "right": right}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    command = [env["DATAFLOW"], "serve", "--listen", f"127.0.0.1:{PORT}", "--data-dir", os.path.join(FOLDER, "data")]
    results = []
    with open(os.path.join(FOLDER, "node.log"), "wb") as log:
        node = subprocess.Popen(command, stdout=log, stderr=log, cwd=FOLDER)  # pipelines write below it
    try:
        until("the node's start", lambda: node.poll() is None and ready())
        for name, clients, batch, records in [("batches", 4, 1000, 1_000_000), ("single", 64, 1, 20_000)]:
            results.append(pushed(node, name, clients, batch, records))
        results[-1]["peak_mib"] = peak_mib(node.pid)
    finally:
        node.send_signal(signal.SIGTERM)
        node.wait(60)
    results.append({"what": "sqlite", **insert(5_000)})
    with open(env["RESULTS"], "a") as file:
        for result in results:
            file.write(json.dumps({"workload": "http", "pass": int(env["PASS"]), **result}) + "\n")
            print("http", json.dumps(result), flush=True)
    shutil.rmtree(FOLDER)
    sys.exit(any(result.get("right") is False for result in results))


main()
