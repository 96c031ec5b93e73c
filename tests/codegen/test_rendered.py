"""What the generator writes: the source of six small messages, each for one thing that a schema can say.

Snapshots lie beside this file. A diff in one is a change of every generated module: read it before `make snapshots`.
"""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from codegen.render import environment, render_module
from codegen.spec import parse_message
from tests.snapshots import PlainText

PROBES = {
    # Adjacent fixed-size fields are one struct; a field that comes in v1 gives a second layout, v2 shares v1's.
    "runs": """
    { "apiKey": 12, "type": "response", "name": "RunsResponse", "validVersions": "0-2", "flexibleVersions": "none",
      "about": "Answers.", "fields": [
        { "name": "ThrottleTimeMs", "type": "int32", "versions": "1+", "ignorable": true, "about": "A pause." },
        { "name": "ErrorCode", "type": "int16", "versions": "0+", "about": "An error, or 0." },
        { "name": "Id", "type": "uuid", "versions": "0+", "about": "An id." } ] }
    """,
    # The same string with a two-byte length and with a compact one; null only where the schema says so.
    "strings": """
    { "type": "data", "name": "Strings", "validVersions": "0-1", "flexibleVersions": "1+",
      "about": "Texts.", "fields": [
        { "name": "Name", "type": "string", "versions": "0+", "about": "A name." },
        { "name": "Rack", "type": "string", "versions": "0+", "nullableVersions": "1+", "default": "null",
          "about": "A rack." },
        { "name": "Secret", "type": "bytes", "versions": "1+", "about": "Bytes that are copied." } ] }
    """,
    # Arrays of numbers are read in one go, arrays of structs in a loop; v1 may have null.
    "arrays": """
    { "type": "data", "name": "Arrays", "validVersions": "0-1", "flexibleVersions": "1+",
      "about": "Lists.", "fields": [
        { "name": "Replicas", "type": "[]int32", "versions": "0+", "about": "Nodes." },
        { "name": "Names", "type": "[]string", "versions": "0+", "about": "Names." },
        { "name": "Topics", "type": "[]Topic", "versions": "0+", "nullableVersions": "1+", "about": "Topics.",
          "fields": [
          { "name": "Name", "type": "string", "versions": "0+", "about": "A name." },
          { "name": "Partition", "type": "int32", "versions": "0+", "about": "A number." } ] } ] }
    """,
    # A struct in place, and one that may be null.
    "structs": """
    { "type": "data", "name": "Structs", "validVersions": "0", "flexibleVersions": "0+",
      "about": "Structs.", "fields": [
        { "name": "Leader", "type": "Node", "versions": "0+", "about": "Who leads." },
        { "name": "Next", "type": "Node", "versions": "0+", "nullableVersions": "0+", "default": "null",
          "about": "Who comes next, or null." } ],
      "commonStructs": [
        { "name": "Node", "versions": "0+", "fields": [
          { "name": "Id", "type": "int32", "versions": "0+", "default": "-1", "about": "A number." },
          { "name": "Epoch", "type": "int64", "versions": "0+", "about": "An epoch." } ] } ] }
    """,
    # Tagged fields are left out at their defaults and come in the order of their tags.
    "tags": """
    { "type": "data", "name": "Tags", "validVersions": "0", "flexibleVersions": "0+",
      "about": "Tags.", "fields": [
        { "name": "Hint", "type": "int32", "versions": "0+", "taggedVersions": "0+", "tag": 1, "default": "-1",
          "about": "A hint." },
        { "name": "Cluster", "type": "string", "versions": "0+", "nullableVersions": "0+", "taggedVersions": "0+",
          "tag": 0, "default": "null", "about": "A cluster." },
        { "name": "Place", "type": "Place", "versions": "0+", "taggedVersions": "0+", "tag": 2, "about": "A place.",
          "fields": [ { "name": "Port", "type": "uint16", "versions": "0+", "about": "A port." } ] } ] }
    """,
    # Records are passed through as views; a field that left in v1 must not be lost silently.
    "records": """
    { "apiKey": 0, "type": "request", "name": "RecordsRequest", "validVersions": "0-1", "flexibleVersions": "none",
      "about": "Records.", "fields": [
        { "name": "Topic", "type": "string", "versions": "0", "about": "A topic, in v0." },
        { "name": "Records", "type": "records", "versions": "0+", "nullableVersions": "0+", "about": "A batch." } ] }
    """,
}


@pytest.mark.parametrize("probe", PROBES)
def test_the_source_of_a_message(probe: str, snapshot: SnapshotAssertion) -> None:
    message = parse_message(PROBES[probe], f"{probe}.json")
    source = render_module(environment(), [message], "A probe.")
    compile(source, probe, "exec")
    assert source == snapshot(extension_class=PlainText)
