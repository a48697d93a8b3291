"""An application that the real compiler built leads exactly where its source says, and its module is what it says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import artifact
from airgap_check.collectors.installations import Installation
from airgap_check.evidence.asset import Artifact, Check, Reference
from airgap_check.evidence.fact import Process
from airgap_check.objectos import product
from tests.live import runtime
from tests.live.lab_host import PATH

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import Evidence

_CONFIGURATION = """
import { defineStack } from '@objectstack/spec';
const fields = { title: { type: 'text', label: 'Title' } };
const nodes = [
  { id: 'start', type: 'start', label: 'S',
    config: { objectName: 'demo_note', triggerType: 'record-after-create' } },
  { id: 'known', type: 'http', label: 'K',
    config: { url: 'https://api.partner.example/v1/{record.id}', method: 'POST' } },
  { id: 'unknown', type: 'http', label: 'U', config: { url: 'https://{record.title}/x', method: 'POST' } },
  { id: 'end', type: 'end', label: 'E' },
];
const edges = [['start', 'known'], ['known', 'unknown'], ['unknown', 'end']]
  .map(([source, target]) => ({ id: source, source, target }));
const hook = { object: 'demo_note', triggers: ['create'], method: 'POST' };
export default defineStack({
  manifest: { id: 'com.corp.demo', namespace: 'demo', version: '0.1.0', type: 'app', name: 'Demo',
    engines: { protocol: '^17' } },
  requires: ['automation', 'triggers', 'webhooks', 'messaging', 'job', 'queue', 'realtime'],
  objects: [{ name: 'demo_note', label: 'Note', pluralLabel: 'Notes', sharingModel: 'private', fields,
    description: 'https://prose.example/help' }],
  datasources: [{ name: 'partner_pg', label: 'P', driver: 'postgres', schemaMode: 'external',
    external: { allowWrites: false }, config: { host: 'pg.partner.example', database: 'dw', username: 'ro' } }],
  actions: [{ name: 'open_docs', label: 'Docs', objectName: 'demo_note', locations: ['list_toolbar'], type: 'url',
    target: 'https://docs.vendor.example/help' }],
  webhooks: [
    { ...hook, name: 'created', label: 'C', url: 'https://hooks.partner.example/notes', secret: 'Ub7-kPq2xW9' },
    { ...hook, name: 'idle', label: 'I', url: 'https://idle.partner.example/notes', isActive: false },
  ],
  flows: [{ name: 'push', label: 'Push', type: 'autolaunched', status: 'active', nodes, edges }],
  functions: { tell: async () => { await fetch('https://inline.partner.example/x'); } },
  hooks: [{ name: 'note_hook', label: 'H', object: 'demo_note', events: ['afterInsert'],
    body: { language: 'js', source: "ctx.log.info('https://sandbox.vendor.example');", capabilities: ['log'] } }],
});
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile in a network namespace without a way out."""
    modules = runtime.installed()
    folder = tmp_path_factory.mktemp("application")
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"name": "demo", "private": true, "type": "module"}')
    (folder / "objectstack.config.ts").write_text(_CONFIGURATION)
    done = subprocess.run(
        ["unshare", "-n", str(modules / ".bin" / "os"), "build"],
        cwd=folder, env={"PATH": f"{modules}/node/bin:{PATH}", "HOME": str(folder)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _collect(folder: Path) -> Evidence:
    installation = Installation(
        thread=os.getpid(), process=Process(pid=os.getpid(), name="node"), workload=None, product=product.OBJECTSTACK,
        version="17.4.0", directory=str(folder), home=None, settings={}, netns=None,
    )  # fmt: skip
    return artifact.collect([installation], None)


def test_every_destination_of_the_source_is_found_with_who_dials_it_and_nothing_else(built: Path) -> None:
    evidence = _collect(built)
    assert evidence.status == "complete", evidence.reason
    found = [
        (one.pointer, one.endpoint.name if one.endpoint else None, one.dialer)
        for one in evidence.of(Reference)
        if not one.line
    ]
    assert found == [
        ("$.datasources[0].config.host", "pg.partner.example", "server-boot"),
        ("$.objects[0].actions[0].target", "docs.vendor.example", "browser"),
        ("$.actions[0].target", "docs.vendor.example", "browser"),
        ("$.flows[0].nodes[1].config.url", "api.partner.example", "server-event"),
        ("$.flows[0].nodes[2].config.url", None, "server-event"),
        ("$.webhooks[0].url", "hooks.partner.example", "server-event"),
        ("$.webhooks[1].url", "idle.partner.example", "nobody"),
    ]


def test_of_the_module_only_code_counts(built: Path) -> None:
    of_module = [one for one in _collect(built).of(Reference) if one.line]
    assert [one.endpoint.name for one in of_module if one.endpoint] == ["inline.partner.example"]
    assert [one.path.endswith(".mjs") for one in of_module] == [True]


def test_the_module_is_what_its_name_says_until_somebody_changes_it(built: Path) -> None:
    (module,) = built.glob("dist/objectstack-runtime.*.mjs")
    outcomes = {one.aspect: one.outcome for one in _collect(built).of(Check)}
    assert outcomes == {
        "runtime-module": "passed", "secret-inside": "failed", "build-path": "passed", "plugin-state": "passed",
    }  # fmt: skip
    content = module.read_bytes()
    try:
        module.write_bytes(content + b"\n")
        assert [one.outcome for one in _collect(built).of(Check) if one.aspect == "runtime-module"] == ["failed"]
    finally:
        module.write_bytes(content)


def test_the_artifact_says_who_it_is(built: Path) -> None:
    (one,) = _collect(built).of(Artifact)
    assert (one.name, one.version, one.protocol, one.state) == ("com.corp.demo", "0.1.0", "^17", "intact")
