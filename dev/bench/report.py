#!/usr/bin/env python3
"""Results of one `make bench` as tables in a page: report.py RESULTS PAGE. What a run did not measure stays as it is there."""
import collections, json, os, platform, re, statistics, subprocess, sys

TITLES = {
    "w1": "W1: file → filter `age > 18` → file",
    "w2": "W2: file → filter, map `full = upper(name)` and `amount_cents = round(amount * 100)`, remove `tags` → file",
    "w3": "W3: Kafka (4 partitions) → filter → PostgreSQL, upsert of seven columns",
    "w4": "W4: Kafka (4 partitions) → filter → Kafka, key kept",
    "w5": "W5: windows of one minute by country: count, sum and mean of amount",
    "ko": "KO: Kafka (4 partitions) → OpenSearch",
    "kf": "KF: Kafka (4 partitions) → filter → file",
    "ks": "KS: Kafka (4 partitions) → S3 (MinIO), JSON lines, objects of 50,000 records",
    "jf": "JF: PostgreSQL → file, a table of seven columns",
    "pf": "PF: Parquet → filter → file (JSON lines)",
}
OURS, AGAIN, LIMITS = "dataflow", "dataflow-again", ("copy", "bulk")


def spread(values, form):
    """Median (least–most)."""
    text = form.format(statistics.median(values))
    return text if len(values) == 1 else f"{text} ({form.format(min(values))}–{form.format(max(values))})"


def times(factor):
    return f"{factor:.1f} ×" if factor < 10 else f"{factor:.0f} ×"


def good(result):
    return result["state"] == "done" and result["count"] == result["expect"] and result["checked"] in (None, "ok")


def content(runs):
    bad = [run for run in runs if not good(run)]
    if bad:
        return f"**wrong in {len(bad)} of {len(runs)}**"
    return "right" if any(run["checked"] == "ok" for run in runs) else "count right"


def workload(name, runs, about):
    by_peer = collections.OrderedDict()
    for run in runs:
        by_peer.setdefault(run["peer"], []).append(run)
    median = lambda peer, value: statistics.median(value(run) for run in by_peer[peer])
    per_cpu = lambda run: run["records"] / run["cpu"]
    wall = lambda run: run["wall"]
    lines = [
        f"### {TITLES[name]}", "",
        "| program | promises | records per CPU-second | ours is | wall seconds | ours is | peak MiB | in the sink |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for peer, its in by_peer.items():
        words, promise = (word.strip() for word in about[peer].split("|"))
        words += " (the same again)" if peer == AGAIN else ""
        rate = spread([per_cpu(run) for run in its], "{:,.0f}")
        ratios = ["", ""]
        if peer != OURS and OURS in by_peer:
            ratios = [times(median(OURS, per_cpu) / median(peer, per_cpu)), times(median(peer, wall) / median(OURS, wall))]
        peak = f"{max(run['peak_mib'] for run in its):.0f}"
        if peer in LIMITS:  # its work is done by the server
            rate = ratios[0] = peak = "–"
        lines.append(f"| {words} | {promise} | {rate} | {ratios[0]} | {spread([wall(run) for run in its], '{:.1f}')} | {ratios[1]} | {peak} | {content(its)} |")
    for limit in LIMITS:
        if limit in by_peer and OURS in by_peer:
            lines += ["", f"Wall time over that of the limit: {median(OURS, wall) / median(limit, wall):.2f}."]
    return lines + [""]


def machine(runs):
    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    memory = int(re.search(r"MemTotal:\s*(\d+)", open("/proc/meminfo").read()).group(1)) / (1 << 20)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=os.path.dirname(__file__) or ".").stdout.strip()
    passes = max(run["pass"] for run in runs)
    return [
        f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), {memory:.0f} GiB, {platform.system()} {'.'.join(platform.release().split('.')[:2])}; "
        f"the servers on the same machine. Commit {commit}, {os.environ.get('BUILT_AS', 'as DATAFLOW was given')}. "
        f"{passes} pass{'' if passes == 1 else 'es'} of {max(run['records'] for run in runs):,} records of 233 bytes, start-up included; the programs take turns. "
        "Medians (least–most); memory is the most of all passes.", "",
    ]


def http(runs):
    by_what = collections.defaultdict(list)
    for run in runs:
        by_what[run["what"]].append(run)
    lines = []
    if its := by_what["batches"]:
        lines += [
            "| 1,000 records a batch, 4 clients, into a file | |", "|---|---|",
            f"| records per CPU-second of the node, from request to sink | {spread([run['records'] / run['cpu'] for run in its], '{:,.0f}')} |",
            f"| records a second, until the last is answered | {spread([run['records'] / run['seconds'] for run in its], '{:,.0f}')} |",
            f"| records a second, until the last is in the file | {spread([run['records'] / run['delivered_seconds'] for run in its], '{:,.0f}')} |",
            f"| answer, p50 ms | {spread([run['p50_ms'] for run in its], '{:.1f}')} |",
            f"| answer, p99 ms | {spread([run['p99_ms'] for run in its], '{:.1f}')} |", "",
        ]
    lines += ["| one record at a time | a second | p50 ms | p99 ms | most ms |", "|---|---|---|---|---|"]
    for what, words in [("single", "pushed by 64 clients"), ("sqlite", "a loop of INSERT and COMMIT, SQLite, WAL, synchronous=FULL")]:
        if its := by_what[what]:
            columns = [spread([run[name] for run in its], "{:.1f}") for name in ["p50_ms", "p99_ms", "max_ms"]]
            lines.append(f"| {words} | {spread([run['records'] / run['seconds'] for run in its], '{:,.0f}')} | {' | '.join(columns)} |")
    peaks = [run["peak_mib"] for run in runs if "peak_mib" in run]
    return lines + ["", f"The node's peak memory: {max(peaks):.0f} MiB."]


def journal(runs):
    by_what = collections.OrderedDict()
    for run in runs:
        by_what.setdefault(run["what"], []).append(run)
    lines = ["| | a second | p50 ms | p99 ms | most ms |", "|---|---|---|---|---|"]
    for what, its in by_what.items():
        columns = [spread([run[name] for run in its], "{:.1f}") for name in ["p50_ms", "p99_ms", "max_ms"]]
        lines.append(f"| {what} | {spread([run['per_second'] for run in its], '{:,.0f}')} | {' | '.join(columns)} |")
    return lines


def main():
    results, page = sys.argv[1:]
    about, runs = {}, collections.OrderedDict()
    for line in open(results):
        result = json.loads(line)
        if "about" in result:
            about[result["about"]] = result["words"]
        else:
            runs.setdefault(result["workload"], []).append(result)
    sections = {name: make(runs.pop(name)) for name, make in [("http", http), ("journal", journal)] if name in runs}
    sections |= {name: workload(name, its, about) + machine(its) for name, its in runs.items()}
    text = open(page).read()
    for name, lines in sections.items():
        begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        before, rest = text.split(begin)
        text = before + begin + "\n" + "\n".join(lines).strip() + "\n" + end + rest.split(end)[1]
    open(page, "w").write(text)


main()
