"""As much of Kafka's protocol as a load needs: a topic made and deleted, batches produced. https://kafka.apache.org/protocol"""
import socket, struct, time

TABLE = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    TABLE.append(byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(values, at=None):
    """A record batch (format 2). Where it is stored is no part of its checksum: it can be sent any number of times."""
    records = bytearray()
    for number, value in enumerate(values):
        record = b"\0" + varint(0) + varint(number) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    now = int(time.time() * 1000) if at is None else at
    body = struct.pack(">hiqqqhii", 0, len(values) - 1, now, now, -1, -1, -1, len(values)) + records
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Kafka:
    """One connection to a broker that leads all partitions."""

    def __init__(self, host="127.0.0.1", port=9092):
        self.socket = socket.create_connection((host, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def ask(self, key, version, body):
        request = struct.pack(">hhi", key, version, 0) + text("bench") + body
        self.socket.sendall(struct.pack(">i", len(request)) + request)
        length = struct.unpack(">i", self.stream.read(4))[0]
        return self.stream.read(length)[4:]

    def create(self, topic, partitions):
        # CreateTopics, version 2: one topic, partitions, one replica, no assignment, no settings.
        answer = self.ask(19, 2, struct.pack(">i", 1) + text(topic) + struct.pack(">ihiii", partitions, 1, 0, 0, 30_000) + b"\0")
        code = struct.unpack(">h", answer[10 + len(topic):12 + len(topic)])[0]
        if code:
            raise RuntimeError(f"topic {topic} can't be made: error {code}")
        # Known is not yet led: the first batch may have to wait.
        time.sleep(1)

    def delete(self, topic):
        self.ask(20, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 30_000))

    def produce(self, topic, partition, batch):
        """Stores a batch; returns the offset of its first record."""
        body = struct.pack(">h", -1) + struct.pack(">hii", -1, 30_000, 1) + text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
        answer = self.ask(0, 7, body)
        at = 4 + 2 + len(topic) + 4
        _, code, offset = struct.unpack(">ihq", answer[at:at + 14])
        if code:
            raise RuntimeError(f"a batch for {topic}/{partition} was refused: error {code}")
        return offset
