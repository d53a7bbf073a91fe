#!/usr/bin/env python3
"""loop.py DATA INDEX-URL BYTES CONNECTIONS: sends all lines as documents, each under its id, in requests of so many bytes; each of the
connections waits for an answer before it sends the next request."""
import http.client, os, sys, urllib.parse


def requests(path, size, number, of):
    """Every so-many-th request."""
    body, length, at = [], 0, 0
    for line in open(path, "rb"):
        action = b'{"index":{"_id":"%s"}}\n' % line[7:16]  # {"id":"u-0000000", …
        body += (action, line)
        length += len(action) + len(line)
        if length >= size:
            if at % of == number:
                yield b"".join(body)
            body, length, at = [], 0, at + 1
    if body and at % of == number:
        yield b"".join(body)


def loop(path, url, size, number, of):
    url = urllib.parse.urlsplit(url)
    server = http.client.HTTPConnection(url.hostname, url.port)
    for body in requests(path, size, number, of):
        server.request("POST", url.path + "/_bulk?filter_path=errors,items.*.error", body, {"content-type": "application/x-ndjson"})
        answer = server.getresponse()
        text = answer.read()
        if answer.status != 200 or not text.startswith(b'{"errors":false'):
            sys.exit(text[:500].decode())


path, url, size, of = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
children = []
for number in range(of):
    child = os.fork()
    if child == 0:
        loop(path, url, size, number, of)
        os._exit(0)
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
