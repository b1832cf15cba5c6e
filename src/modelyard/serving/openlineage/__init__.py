"""OpenLineage, out and in: what happens here told as its events, and events of others kept and joined to our lineage.

https://openlineage.io/spec/2-0-2/OpenLineage.json
"""
