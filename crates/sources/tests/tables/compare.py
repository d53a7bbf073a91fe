#!/usr/bin/env python3
"""Compares what `dataflow` reads with what pyarrow (or DuckDB) and fastavro read in files that others made.

compare.py <the program> <a folder, such as a checkout of apache/parquet-testing or apache/avro>
"""
import collections, os, subprocess, sys, tempfile
import duckdb, fastavro, pyarrow.parquet as pq
import forms


def ours(program, path):
    with tempfile.TemporaryDirectory() as folder:
        form = "avro" if path.endswith(".avro") else "parquet"
        with open(f"{folder}/spec.yaml", "w") as spec:
            spec.write(f"pipelineId: p\nsource: {{type: file, path: {path!r}, format: {form}}}\nsink: {{type: file, path: {folder}/out.jsonl}}\n")
        # One that has failed after some rows waits until its file is whole.
        run = subprocess.run(["timeout", "60", program, "run", "--data-dir", f"{folder}/data", f"{folder}/spec.yaml"], capture_output=True, text=True, cwd=folder)
        out = open(f"{folder}/out.jsonl").read().splitlines() if os.path.exists(f"{folder}/out.jsonl") else []
        said = [line for line in (run.stdout + run.stderr).splitlines() if path.rsplit("/", 1)[1] in line or "dead" in line]
        return run.returncode, out, (said or (run.stdout + run.stderr).splitlines() or [""])[-1]


def avro(path):
    with open(path, "rb") as file:
        rows = fastavro.reader(file)
        kinds = {field["name"]: field["type"] for field in rows.writer_schema.get("fields", [])} if isinstance(rows.writer_schema, dict) else {}
        for row in rows:
            row = row if isinstance(row, dict) else {"value": row}
            yield "{" + ",".join(f"{forms.text(name)}:{forms.datum(value, kinds.get(name) == 'float')}" for name, value in row.items()) + "}"


def theirs(path):
    oracles = [avro] if path.endswith(".avro") else [lambda path: forms.rows(pq.read_table(path)), lambda path: forms.rows(duckdb.sql(f"select * from '{path}'").to_arrow_table())]
    whys = []
    for oracle in oracles:
        try:
            return list(oracle(path)), ""
        except Exception as why:
            whys.append(type(why).__name__ + ": " + str(why).partition("\n")[0])
    return None, " | ".join(whys)


program, root = os.path.abspath(sys.argv[1]), sys.argv[2]
results = collections.Counter()
for folder, _, names in sorted(os.walk(root)):
    for name in sorted(names):
        path = os.path.abspath(os.path.join(folder, name))
        if not name.endswith((".parquet", ".avro", ".parquet.encrypted")):
            continue
        code, found, said = ours(program, path)
        expected, why = theirs(path)
        if code != 0:
            result = "refused by both" if expected is None else "REFUSED by us"
        elif expected is None:
            result = "read by us alone"
        else:
            result = "same" if found == expected else "DIFFERENT"
        results[result] += 1
        if result != "same":
            print(f"{result}: {path[len(os.path.abspath(root)) + 1:]}\n    ours: {len(found)} rows, {said[:300]}\n    theirs: {why[:200] if expected is None else f'{len(expected)} rows'}")
        if result == "DIFFERENT":
            for nth, (one, other) in enumerate(zip(found, expected)):
                if one != other:
                    at = next((k for k, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
                    print(f"    row {nth}\n      ours   …{one[max(0, at - 60):at + 60]}\n      theirs …{other[max(0, at - 60):at + 60]}")
                    break
print(dict(results))
