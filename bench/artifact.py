"""Times the scan of a 200 MB artifact, and how much memory it takes, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 200_000_000
_RECORDS = 60  # in a batch of seed data
_SCAN = """
import json, os, resource, sys, time
from airgap_check.objectos.artifact import scan
descriptor = os.open(sys.argv[1], os.O_RDONLY)
began = time.monotonic()
read = scan(descriptor)
seconds = time.monotonic() - began
assert read.state == "intact" and not read.incomplete, read
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(read.found)]))
"""


def figures() -> list[Figure]:
    """Write artifacts of both layouts into a temporary folder and scan each."""
    return [figure for indent in (None, 1) for figure in _measure(indent)]


def _measure(indent: int | None) -> list[Figure]:
    layout = "compact" if indent is None else "indented"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "objectstack.json")
        write(path, _SIZE, indent)
        done = subprocess.run([sys.executable, "-c", _SCAN, str(path)], stdout=subprocess.PIPE, check=True)
        seconds, memory, found = json.loads(done.stdout)
        detail = f"{path.stat().st_size / 1e6:.0f} MB, {found} destinations"
    return [
        Figure(f"artifact scan, {layout}", seconds, "s", 10, detail),
        Figure(f"artifact scan, {layout}, memory", memory, "MiB", 500, detail),
    ]


def write(path: Path, size: int, indent: int | None = None) -> None:
    """Write an artifact of about ``size`` bytes: objects, flows, views, pages and seed data, a fifth each."""
    with path.open("w") as file:
        file.write('{"manifest": {"id": "com.bank.core", "version": "1.0.0", "engines": {"protocol": "^17"}}')
        for section, sample in _samples():
            file.write(f',\n"{section}": [')
            begin, number = file.tell(), 0
            while file.tell() - begin < size // 5:
                text = json.dumps(sample, indent=indent).replace("@", str(number))
                file.write(f"{',' if number else ''}\n{text}")
                number += 1
            file.write("]")
        file.write("}\n")


def _samples() -> Iterator[tuple[str, object]]:
    fields = {
        f"field_{n}": {"label": "A label", "type": "text", "required": False, "maxLength": 200} for n in range(20)
    }
    action = {"name": "open", "type": "url", "target": "https://wiki.bank.example/help/@"}
    yield "objects", {"name": "object_@", "label": "Object @", "fields": fields, "actions": [action]}
    step = {"id": "post", "type": "http", "config": {"url": "https://hooks.bank.example/@", "method": "POST"}}
    yield "flows", {"name": "flow_@", "nodes": [{"id": "start", "type": "start"}, step, step], "edges": []}
    columns = [{"field": f"field_{n}", "label": "A label", "width": 120} for n in range(20)]
    yield "views", {"name": "view_@", "data": {"provider": "object", "object": "object_@"}, "columns": columns}
    yield "pages", {"name": "page_@", "type": "html", "source": "<div class='row'><p>A text of a page</p></div>" * 40}
    record = {"name": "Record @", "mail": "someone@bank.example", "note": "a few words about it", "amount": 12.5}
    yield "data", {"object": "object_@", "records": [record] * _RECORDS}
