"""A node of ours as a process, its REST API, and what the kernel says of it."""
import http.client, json, os, signal, socket, subprocess, threading, time
from urllib.parse import quote

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


def binary():
    """The program that is measured: $DATAFLOW, or the release build."""
    if "DATAFLOW" in os.environ:
        return os.environ["DATAFLOW"]
    asked = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"], cwd=ROOT,
                           capture_output=True, check=True, text=True)
    return os.path.join(json.loads(asked.stdout)["target_directory"], "release/dataflow")


GIVEN = set()


def end_with_all(*_):
    """Told to end, a script ends what it has started first."""
    raise SystemExit("told to end")


signal.signal(signal.SIGTERM, end_with_all)


def free_port():
    """A port that nobody listens on and that was not given before: from $BENCH_PORTS on, or whichever."""
    first = int(os.environ.get("BENCH_PORTS", "0"))
    for port in (port for port in range(first, first + 100) if port not in GIVEN) if first else [0]:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                GIVEN.add(listener.getsockname()[1])
                return listener.getsockname()[1]
            except OSError:
                continue
    raise SystemExit(f"no free port from {first} on")


class Api:
    """One connection to the REST API; a thread each."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, method, path, body=None):
        payload = None if body is None else json.dumps(body)
        self.connection.request(method, path, payload, {"content-type": "application/json"} if body is not None else {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()[:500]}")
        return json.loads(text) if text else None

    def create(self, spec):
        return self.ask("POST", "/api/pipelines", spec)

    def get(self, pipeline):
        return self.ask("GET", f"/api/pipelines/{quote(pipeline)}")

    def start(self, pipeline):
        return self.ask("POST", f"/api/pipelines/{quote(pipeline)}/start")

    def stop(self, pipeline):
        return self.ask("POST", f"/api/pipelines/{quote(pipeline)}/stop?wait=60s")


class Node:
    """`dataflow serve` on a folder; started and ended any number of times."""

    def __init__(self, folder, settings=""):
        self.folder, self.port = folder, free_port()
        self.config = os.path.join(folder, "dataflow.toml")
        os.makedirs(folder, exist_ok=True)
        with open(self.config, "w") as file:
            file.write(settings)
        self.process = None

    def start(self):
        """Seconds until it is ready."""
        self.log = open(os.path.join(self.folder, "node.log"), "ab")
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [binary(), "serve", "--config", self.config, "--data-dir", os.path.join(self.folder, "data"), "--listen", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.folder)
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the node ended with {self.process.returncode}; see {self.log.name}")
            try:
                Api(self.port).ask("GET", "/health/ready")
                return time.monotonic() - begun
            except (OSError, RuntimeError, http.client.HTTPException):
                time.sleep(0.01)

    def end(self, how=signal.SIGTERM):
        """Seconds until it is gone."""
        begun = time.monotonic()
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=120)
        return time.monotonic() - begun

    def api(self):
        return Api(self.port)

    def stat(self):
        return stat(self.process.pid)

    def journal_bytes(self):
        """The journal's files on disk."""
        folder = os.path.join(self.folder, "data/node")
        return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.startswith("journal"))


def stat(pid):
    """Memory in MiB (all of it; what is its own, without the pages of the program itself; the most so far), threads, open files and CPU seconds of a process."""
    fields = {}
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            fields[name] = value.split()
    with open(f"/proc/{pid}/stat") as file:
        times = file.read().rpartition(")")[2].split()
    cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return {"rss": int(fields["VmRSS"][0]) / 1024, "own": int(fields["RssAnon"][0]) / 1024, "peak": int(fields["VmHWM"][0]) / 1024, "threads": int(fields["Threads"][0]),
            "files": len(os.listdir(f"/proc/{pid}/fd")), "cpu": cpu}


class Sampler(threading.Thread):
    """Takes a sample every so many seconds until it is told to end."""

    def __init__(self, every, take):
        super().__init__(daemon=True)
        self.every, self.take, self.samples, self.over = every, take, [], threading.Event()
        self.begun = time.monotonic()
        self.start()

    def run(self):
        while not self.over.wait(self.every):
            self.samples.append((time.monotonic() - self.begun, self.take()))

    def end(self):
        self.over.set()
        self.join()
        return self.samples
