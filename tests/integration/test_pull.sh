#!/usr/bin/env bash
# pull and import against a hub on loopback that fails in every way a hub can.
command -v python3 >/dev/null || { echo "skip pull python3 is not installed"; exit 0; }
exec python3 tests/integration/pull_checks.py
