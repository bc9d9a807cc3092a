#!/usr/bin/env bash
# The server under load for SOAK_S seconds (default two hours) on loopback: clients that stream, leave, send rubbish.
# Ends with the memory before and after, and fails when it grew by more than 20 MB or a request failed.
set -euo pipefail
cd "$(dirname "$0")/.."
. mk/deps.sh
need_model
exec python3 tests/soak.py "$MODEL" "${SOAK_S:-7200}"
