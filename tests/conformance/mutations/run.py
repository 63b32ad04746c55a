"""`script/test-mutations`: 10,000 mutated Core ML files, each refused in words or run, in limited time and memory."""

import argparse
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests import marks

LIMIT_BYTES = 3 << 30  # of address space, over what the process has once torch is there
TIMEOUT_S = 60
PAGE = Path(__file__).parents[3] / "docs/evaluator.md"
_SCRATCH = "/dev/shm" if Path("/dev/shm").is_dir() else None


def case(number: int, seeds: dict[str, Path], folder: Path) -> tuple[str, str, Path]:
    """Seed's name, mutation and path of the file that case `number` is; the same in every run."""
    from mutate import mutate

    rng = random.Random(f"mutation {number}")
    name = rng.choice(sorted(seeds))
    kind, path = mutate(seeds[name], folder, rng)
    return name, kind, path


def work(pipe: Connection, seeds: dict[str, Path]) -> None:
    """A worker: judge the cases whose numbers come through the pipe."""
    import torch
    import torch.distributed.nn  # makes a folder when it is imported, which torch does late
    from judge import judge, limit_memory, watch

    torch.set_num_threads(1)
    tempfile.gettempdir()  # tries to write where it looks, once
    for path in seeds.values():  # also imports what is imported late
        verdict, words = judge(path, path.parent)
        assert verdict == "ran", f"{path.name} as it was written: {words}"
    watch()
    limit_memory(LIMIT_BYTES)
    base = peak()
    while (number := pipe.recv()) is not None:
        with tempfile.TemporaryDirectory(dir=_SCRATCH) as folder:
            name, kind, path = case(number, seeds, Path(folder))
            start = time.perf_counter()
            verdict, words = judge(path, Path(folder))
            pipe.send((number, name, kind, verdict, words, time.perf_counter() - start, peak() - base))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    """A process that judges, and what it judges now."""

    def __init__(self, seeds: dict[str, Path]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, seeds), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.since = time.monotonic()

    def give(self, number: int) -> None:
        self.number, self.since = number, time.monotonic()
        self.pipe.send(number)

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def run(numbers: list[int], seeds: dict[str, Path], jobs: int) -> list[tuple]:
    """Judge all; a worker that dies or takes too long is a fault of the case it had."""
    pending, results = numbers[::-1], []
    workers = [Worker(seeds) for _ in range(jobs)]
    for worker in workers:
        worker.give(pending.pop())
    while workers:
        ready = wait([w.pipe for w in workers], timeout=1)
        for index, worker in enumerate(list(workers)):
            lost = ""
            if worker.pipe in ready:
                try:
                    results.append(worker.pipe.recv())
                    worker.number = None
                except (EOFError, ConnectionError):
                    worker.process.join()
                    lost = f"the process died ({worker.process.exitcode})"
            elif worker.number is not None and time.monotonic() - worker.since > TIMEOUT_S + 60 * (not results):
                lost = f"took more than {TIMEOUT_S} s"
            if lost:
                results.append((worker.number, "", "", "fault", lost, time.monotonic() - worker.since, 0))
                worker.end()
                workers[index] = worker = Worker(seeds)
                worker.number = None
            if worker.number is None and pending:
                worker.give(pending.pop())
        if not pending:
            for worker in [w for w in workers if w.number is None]:
                worker.end()
                workers.remove(worker)
    return sorted(results)


def table(results: list[tuple], seconds: float) -> str:
    """The figures in Markdown."""
    counts = Counter((kind, verdict) for _, _, kind, verdict, *_ in results)
    total = Counter(verdict for _, _, _, verdict, *_ in results)
    lines = [
        f"{len(results):,} mutated files: {total['refused']:,} refused with an EvaluationError, {total['ran']:,} ran,"
        f" {total['fault']} faults. The slowest took {max(r[5] for r in results):.1f} s, no process grew by more than"
        f" {max(r[6] for r in results) / 2**20:,.0f} MiB; {seconds / 60:.0f} minutes.",
        "",
        "| mutation | refused | ran | faults |",
        "| :--- | ---: | ---: | ---: |",
    ]
    for kind in sorted({kind for kind, _ in counts}):
        lines.append(f"| {kind} | {counts[kind, 'refused']:,} | {counts[kind, 'ran']:,} | {counts[kind, 'fault']:,} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--from", dest="first", type=int, default=0, help="number of the first case")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="write the files of the cases here, and judge nothing")
    options = parser.parse_args()
    import seeds

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = seeds.make(Path(folder))
        numbers = list(range(options.first, options.first + options.count))
        if options.keep:
            for number in numbers:
                target = options.keep / str(number)
                shutil.rmtree(target, ignore_errors=True)
                target.mkdir(parents=True)
                print(number, *case(number, paths, target))
            return 0
        results = run(numbers, paths, min(options.jobs, len(numbers)))
    figures = table(results, time.perf_counter() - start)
    print(figures)
    for number, name, kind, verdict, words, *_ in results:
        if verdict == "fault":
            print(f"fault {number} ({name}, {kind}): {words}")
    if options.count >= 10_000:
        marks.write(PAGE, "mutations", figures)
    return int(any(verdict == "fault" for _, _, _, verdict, *_ in results))


if __name__ == "__main__":
    raise SystemExit(main())
