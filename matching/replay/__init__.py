"""Proving the settlement from the log: the engine once more, and what comes of it compared.

    beginning   the state in which the present log began, from Postgres
    archive     a checkpoint in a file, to begin from instead
    halts       which events a halt has left out of the settlement
    settled     what Postgres has settled: orders and trades, read beside the log
    books       two engines, market by market
    tally       what differs, counted and named
    runner      all of it, partition by partition, in one snapshot of Postgres

It reads Postgres and the log, outside every consumer group, and writes to neither.
"""
