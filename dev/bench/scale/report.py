"""Figures, and where they are written down."""
import math, os, re
from node import ROOT

PAGE = os.path.join(ROOT, "docs/benchmarks.md")


def percentile(values, part):
    """The smallest value that so many parts of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def ms(seconds):
    return f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def slope(points):
    """Of the line through these points that is nearest to all: units of y per unit of x."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a in xs)


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(section, text, write):
    """Prints a section, and puts it between its markers in docs/benchmarks.md if that is wanted."""
    print(text, flush=True)
    if write:
        begin, end = f"<!-- bench:{section} -->", f"<!-- /bench:{section} -->"
        with open(PAGE) as file:
            page = file.read()
        page, found = re.subn(re.escape(begin) + ".*?" + re.escape(end), lambda _: f"{begin}\n{text}\n{end}", page, flags=re.S)
        if not found:
            raise SystemExit(f"{PAGE} has no place for {section}")
        with open(PAGE, "w") as file:
            file.write(page)
