"""Tables and record files."""

import datetime
import json
import os
import re

import build

FOLDER = build.ROOT / "benches/record"


def table(headings, rows, text_columns):
    """A Markdown table, aligned so that it reads well unrendered too; the first `text_columns` are text."""
    cells = [[str(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    align = [str.ljust if column < text_columns else str.rjust for column in range(len(headings))]
    rule = ["-" * width if column < text_columns else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    cells.insert(1, rule)
    return "\n".join(
        "| " + " | ".join(fit(cell, width) for fit, cell, width in zip(align, row, widths)) + " |" for row in cells
    )


def millions(count):
    """A count in millions, with four digits or the last thousand."""
    return f"{count / 1e6:.4g}" if count >= 1e6 else f"{count / 1e6:.3f}"


def origin(args):
    """The date, and what was measured: the commit and the compiler, or the program that was given."""
    built = {"commit": commit(), "rustc": build.rustc_version(args.build_std)}
    return {"date": datetime.date.today().isoformat(), **({"binary": str(args.binary)} if args.binary else built)}


def commit():
    """The commit that is built, and whether there are changes on top."""
    changed = " with local changes" if build.output(["git", "status", "--porcelain", "--untracked-files=no"]) else ""
    return build.output(["git", "rev-parse", "--short=12", "HEAD"]).strip() + changed


def write(name, values, markdown):
    """Writes a record as JSON and Markdown, each at once, and returns the path of the latter."""
    stem = f"{values['date']}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("json", json.dumps(values, indent=1) + "\n"), ("md", markdown)):
        unfinished = FOLDER / f"{stem}.{suffix}.unfinished"
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, FOLDER / f"{stem}.{suffix}")
    return FOLDER / f"{stem}.md"
