#!/usr/bin/env bash
# The short form of the acceptance test: five kills during tuning.
exec python3 tests/kill_tune.py 5
