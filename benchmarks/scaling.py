"""How the pipeline scales: its figure with more workers of each kind, on Apache Kafka."""

from dataclasses import replace

from benchmarks import pipeline
from benchmarks.options import Options
from benchmarks.report import Figure, Goal


def measure(options: Options) -> list[Figure]:
    """Measure the pipeline with `options.workers` matching workers and as many trades workers.

    Nothing is to be reached: how far it goes is for the processors to say, which the brokers, the
    stores and all workers share.
    """
    rate = pipeline.measure(options)[0]
    workers = "1 worker" if options.workers == 1 else f"{options.workers} workers"
    return [replace(rate, part="scaling", name=f"{workers} of each kind", goal=Goal())]
