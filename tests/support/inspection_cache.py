"""A cache of photo inspections that is not saved."""

import sqlite3

from boatyard.curation.inspections import InspectionCache


def in_memory() -> InspectionCache:
    return InspectionCache(sqlite3.connect(":memory:", check_same_thread=False))
