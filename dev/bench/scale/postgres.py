"""A PostgreSQL of our own, started and ended by its process id; and a connection to it (simple queries only)."""
import glob, os, pwd, secrets, shutil, signal, socket, struct, subprocess, tempfile, time
from node import free_port


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise SystemExit("no PostgreSQL in /usr/lib/postgresql: run dev/setup.sh services, or install postgresql")
    return found[-1]


class Postgres:
    def __init__(self, max_connections=100, **settings):
        self.port, self.password = free_port(), secrets.token_hex(8)
        self.folder = tempfile.mkdtemp(prefix="dataflow-bench-pg-")
        self.log = os.path.join(self.folder, "log")
        # The server refuses to run as root.
        self.demote = {}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            self.demote = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        data, word = os.path.join(self.folder, "data"), os.path.join(self.folder, "password")
        with open(word, "w") as file:
            file.write(self.password)
        os.chmod(word, 0o644)
        subprocess.run([f"{programs()}/initdb", "-D", data, "-U", "dataflow", "--auth=password", f"--pwfile={word}", "-E", "UTF8", "--locale=C.UTF-8"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/", **self.demote)
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder,
                   "max_connections": max_connections, "logging_collector": "off", **settings}
        self.process = subprocess.Popen([f"{programs()}/postgres", "-D", data] + [part for name, value in options.items() for part in ("-c", f"{name}={value}")],
                                        stdin=subprocess.DEVNULL, stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, cwd="/", **self.demote)
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"PostgreSQL ended; see {self.log}")
            try:
                with self.connect("postgres") as first:
                    first.query("create database dataflow")
                return
            except OSError:
                time.sleep(0.1)

    @property
    def url(self):
        return f"postgres://dataflow:{self.password}@127.0.0.1:{self.port}/dataflow"

    def connect(self, database="dataflow"):
        return Connection(self.port, "dataflow", self.password, database)

    def processes(self):
        """The server and all its children."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [self.process.pid] + [int(pid) for pid in children.stdout.split()]

    def freeze(self):
        self.frozen = self.processes()
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.frozen:
            os.kill(pid, signal.SIGCONT)

    def complaints(self):
        """How often a client was turned away for want of connections."""
        with open(self.log, errors="replace") as file:
            return sum("too many clients" in line or "remaining connection slots" in line for line in file)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        shutil.rmtree(self.folder)


class Connection:
    """PostgreSQL's protocol, version 3: https://www.postgresql.org/docs/current/protocol-flow.html"""

    def __init__(self, port, user, password, database):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        words = b"".join(text.encode() + b"\0" for text in ("user", user, "database", database, "application_name", "bench")) + b"\0"
        self.socket.sendall(struct.pack(">ii", len(words) + 8, 196608) + words)
        while True:
            kind, body = self.receive()
            if kind == b"R" and struct.unpack(">i", body[:4])[0] == 3:
                self.send(b"p", password.encode() + b"\0")
            elif kind == b"E":
                raise OSError(body.replace(b"\0", b" ").decode(errors="replace"))
            elif kind == b"Z":
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack(">i", len(body) + 4) + body)

    def receive(self):
        head = self.stream.read(5)
        if len(head) < 5:
            raise OSError("the server has closed the connection")
        return head[:1], self.stream.read(struct.unpack(">i", head[1:])[0] - 4)

    def query(self, sql):
        """Rows as tuples of text."""
        self.send(b"Q", sql.encode() + b"\0")
        rows, failed = [], None
        while True:
            kind, body = self.receive()
            if kind == b"D":
                at, row = 2, []
                for _ in range(struct.unpack(">h", body[:2])[0]):
                    length = struct.unpack(">i", body[at:at + 4])[0]
                    at += 4
                    row.append(None if length < 0 else body[at:at + length].decode())
                    at += max(length, 0)
                rows.append(tuple(row))
            elif kind == b"E":
                failed = body.replace(b"\0", b" ").decode(errors="replace")
            elif kind == b"Z":
                if failed:
                    raise RuntimeError(failed)
                return rows

    def value(self, sql):
        return self.query(sql)[0][0]
