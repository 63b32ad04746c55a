"""What became of each test: which are chosen, what is kept, what it adds up to. Imports nothing heavy."""

import hashlib
import json
import re
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One test: `outcome` is passed, failed, skipped, xfailed or started; `reason` says why it did not pass.

    `reached`: the stand-in was constructed. `refused`: what the evaluator refused in a test that passed all the same.
    """

    id: str
    outcome: str
    reached: bool = False
    reason: str = ""
    refused: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Known:
    """A group of tests that fail for one reason; `tests` is a pattern that the whole id must match.

    `sometimes`: by rounding, which random numbers and the processor decide, some of them pass.
    """

    tests: re.Pattern[str]
    reason: str
    sometimes: bool = False


def stable(node_id: str) -> str:
    """The id without addresses in memory, which differ from run to run."""
    return _ADDRESS.sub("", node_id)


def unique(ids: list[str]) -> list[str]:
    """The ids, made stable; the second of the same name ends in #2."""
    seen: Counter[str] = Counter()
    answer = []
    for name in map(stable, ids):
        seen[name] += 1
        answer.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return answer


def file_of(test_id: str) -> str:
    return test_id.split("::")[0]


def chosen(test_id: str, every: int) -> bool:
    """Whether a sample of one in `every` holds the test; the same on every machine."""
    return int.from_bytes(hashlib.sha256(test_id.encode()).digest()[:8], "big") % every == 0


def load(path: Path) -> dict[str, Record]:
    """The newest record of each test. One that only started, died with its process."""
    records = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = Record(**json.loads(line))
            except ValueError:
                continue  # a line that the end of a process cut
            records[record.id] = record
    return records


def append(path: Path, record: Record) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: v for k, v in asdict(record).items() if v not in ("", False)}) + "\n")


def known(path: Path) -> list[Known]:
    listed = tomllib.loads(path.read_text(encoding="utf-8")).get("known", [])
    return [Known(**{**entry, "tests": re.compile(entry["tests"])}) for entry in listed]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one file of tests; of `collected` tests `ran` were chosen and run.

    Of the `reached` ones `passed` did pass, `known` failed as listed (by reason), and `failed` did not. `skipped` and
    `unreached` (no model was opened) count by reason. `error` says why the file could not be collected.
    """

    file: str
    collected: int
    ran: int
    reached: int
    passed: int
    known: Counter[str]
    failed: tuple[Record, ...]
    listed_passes: tuple[Record, ...]
    skipped: Counter[str]
    unreached: Counter[str]
    error: str = ""


def figures(file: str, collected: int, records: list[Record], listed: list[Known], error: str = "") -> Figures:
    """Add up one file's records. A test whose process died counts as reached, and as failed."""
    reached = [r for r in records if _has_reached(r)]
    others = [r for r in records if not _has_reached(r)]
    failing = [(r, reason_for(r.id, listed)) for r in reached if r.outcome != "passed"]
    return Figures(
        file=file,
        collected=collected,
        ran=len(records),
        reached=len(reached),
        passed=len(reached) - len(failing),
        known=Counter(reason for _, reason in failing if reason is not None),
        failed=tuple(r for r, reason in failing if reason is None),
        listed_passes=tuple(
            r for r in records if r.outcome == "passed" and (entry := entry_for(r.id, listed)) and not entry.sometimes
        ),
        skipped=Counter(r.reason for r in others if r.outcome in ("skipped", "xfailed")),
        unreached=Counter(_unreached(r) for r in others if r.outcome in ("passed", "failed")),
        error=error,
    )


def _has_reached(record: Record) -> bool:
    return record.outcome == "started" or (record.reached and record.outcome in ("passed", "failed"))


def _unreached(record: Record) -> str:
    """Tests of passes and types pass so; others fail so, before the model is written."""
    return "the test compares no prediction" if record.outcome == "passed" else f"fails before: {record.reason}"


def reason_for(test_id: str, listed: list[Known]) -> str | None:
    entry = entry_for(test_id, listed)
    return entry.reason if entry else None


def entry_for(test_id: str, listed: list[Known]) -> Known | None:
    return next((entry for entry in listed if entry.tests.fullmatch(test_id)), None)
