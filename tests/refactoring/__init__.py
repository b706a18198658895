"""What a refactoring must not change, recorded before it and compared after it.

python -m tests.refactoring record FILE      on the commit before the first move
python -m tests.refactoring compare FILE     after the last one, on the same machine; exits 1 if anything differs

FILE is JSON, {name: value}. Values are exact, or SHA-256 where they are large. Processors of different makers round
differently, so FILE is never committed: make it where you compare. --only PREFIX runs the parts whose name begins so.
Where a refactoring renames a metric on purpose, RENAMED_METRICS in comparison.py tells its old name and its new one.
"""
