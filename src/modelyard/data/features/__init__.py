"""Features by time: what a row looks up in datasets, joined for training and looked up online for serving."""

from modelyard.data.features.joining import FeatureJoin, check_free, join_features, newest_tables, open_join, read_tables
from modelyard.data.features.rules import check_lookups, declare_lookup
from modelyard.data.features.types import Default, Features, Lookup, Missing

__all__ = [
    "Default",
    "FeatureJoin",
    "Features",
    "Lookup",
    "Missing",
    "check_free",
    "check_lookups",
    "declare_lookup",
    "join_features",
    "newest_tables",
    "open_join",
    "read_tables",
]
