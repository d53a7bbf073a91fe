#!/usr/bin/env python3
"""Runs one program once and measures it: wall seconds, CPU seconds (user and system, whole process tree), peak memory.

measure.py --peer P --workload W --pass 1 --records N --expect ROWS --results FILE [--until CMD | --count CMD] -- COMMAND…

Without --until the run ends when COMMAND ends. With it, the sink is asked until it holds the expected number of rows;
CPU and memory are read at that moment, then COMMAND gets SIGTERM, so that the stop is not counted. The start always is.
--count asks the sink once, afterwards; --check is run last and fails if what is in the sink is not what should be.
"""
import argparse, json, os, signal, subprocess, sys, time

TICK = 0.05
HZ = os.sysconf("SC_CLK_TCK")


def tree(root):
    """A process and all its living descendants."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = open(f"/proc/{name}/stat").read()
            except OSError:
                continue
            parent = int(stat[stat.rindex(")") + 2:].split()[1])
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def usage(root):
    """CPU seconds and peak memory in KiB of a process tree; children that ended and were waited for count as well."""
    cpu = peak = 0
    for pid in tree(root):
        try:
            stat = open(f"/proc/{pid}/stat").read()
            fields = stat[stat.rindex(")") + 2:].split()
            cpu += sum(map(int, fields[11:15]))
            peak += next((int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")), 0)
        except OSError:
            pass
    return cpu / HZ, peak


def busy():
    """Jiffies that the machine's processors worked, and all there were."""
    jiffies = list(map(int, open("/proc/stat").readline().split()[1:9]))
    return sum(jiffies) - jiffies[3] - jiffies[4], sum(jiffies)


def ask(command):
    answer = subprocess.run(command, shell=True, capture_output=True, text=True).stdout.strip()
    return int(answer) if answer.isdigit() else 0


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(args, command):
    busy_before, all_before = busy()
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=open(args.log, "wb"), stderr=subprocess.STDOUT, start_new_session=True)
    state, count, peak, cpu, asked = "done", None, 0, 0, begun
    try:
        while True:
            if not args.until:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    process.returncode = os.waitstatus_to_exitcode(status)
                    state = "done" if process.returncode == 0 else f"exit code {process.returncode}"
                    cpu, peak = used.ru_utime + used.ru_stime, max(peak, used.ru_maxrss)
                    break
            elif process.poll() is not None:
                state = f"ended too early, exit code {process.returncode}"
                break
            elif time.monotonic() - asked > args.every:
                count, asked = ask(args.until), time.monotonic()
                if count >= args.expect:
                    cpu, peak = usage(process.pid)
                    break
            if time.monotonic() - begun > args.timeout:
                state = "timeout"
                break
            cpu, peak = usage(process.pid)
            time.sleep(TICK)
        wall = time.monotonic() - begun
        busy_after, all_after = busy()
    finally:
        stop(process)
    if args.count or args.until:
        count = ask(args.count or args.until)
    checked = None
    if args.check:
        checker = subprocess.run(args.check, shell=True, capture_output=True, text=True)
        checked = "ok" if checker.returncode == 0 else (checker.stdout + checker.stderr).strip()[-500:]
    return {
        "peer": args.peer, "workload": args.workload, "pass": args.number, "state": state,
        "wall": round(wall, 3), "cpu": round(cpu, 2), "peak_mib": round(peak / 1024, 1), "records": args.records,
        "count": count, "expect": args.expect, "checked": checked,
        "machine_busy": round((busy_after - busy_before) / max(1, all_after - all_before), 2),
    }


def main():
    parser = argparse.ArgumentParser()
    for name in ["--peer", "--workload", "--results"]:
        parser.add_argument(name, required=True)
    parser.add_argument("--pass", dest="number", type=int, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--expect", type=int, required=True)
    parser.add_argument("--until")
    parser.add_argument("--count")
    parser.add_argument("--check")
    parser.add_argument("--every", type=float, default=0.25, help="seconds between two questions to the sink")
    parser.add_argument("--timeout", type=float, default=400)
    parser.add_argument("--log", default="/dev/null")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    result = run(args, args.command[1:] if args.command[:1] == ["--"] else args.command)
    with open(args.results, "a") as file:
        file.write(json.dumps(result) + "\n")
    wrong = result["state"] != "done" or result["count"] != args.expect or result["checked"] not in (None, "ok")
    print(f"{args.workload} {args.peer:<18} {result['wall']:8.2f} s wall {result['cpu']:8.2f} s CPU {result['peak_mib']:7.0f} MiB"
          f"  {result['count']} of {args.expect} rows{'' if result['checked'] is None else ', content ' + result['checked']}"
          f"{'  ' + result['state'] + ': see ' + args.log if wrong else ''}", flush=True)
    sys.exit(wrong)


main()
