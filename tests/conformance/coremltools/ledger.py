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
    """A group of tests that fail for one reason; `tests` is a pattern that the whole id must match."""

    tests: re.Pattern[str]
    reason: str


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
    return [Known(tests=re.compile(entry["tests"]), reason=entry["reason"]) for entry in listed]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of one file of tests. `skipped` and `unreached` count by reason; the rest of `ran` was reached.

    `passed` counts reached tests that passed; `listed` reached ones that failed and are known.
    """

    file: str
    collected: int
    ran: int
    reached: int
    passed: int
    listed: int
    failed: tuple[Record, ...]
    unlisted_passes: tuple[Record, ...]
    skipped: Counter[str]
    unreached: Counter[str]


def figures(file: str, collected: int, records: list[Record], listed: list[Known]) -> Figures:
    """Add up one file's records."""
    reached = [r for r in records if r.reached and r.outcome in ("passed", "failed", "started")]
    crashed = [r for r in records if r.outcome == "started" and not r.reached]
    judged = [*reached, *crashed]
    failing = [r for r in judged if r.outcome != "passed"]
    others = [r for r in records if r not in judged]
    return Figures(
        file=file,
        collected=collected,
        ran=len(records),
        reached=len(judged),
        passed=len(judged) - len(failing),
        listed=sum(reason_for(r.id, listed) is not None for r in failing),
        failed=tuple(r for r in failing if reason_for(r.id, listed) is None),
        unlisted_passes=tuple(r for r in judged if r.outcome == "passed" and reason_for(r.id, listed) is not None),
        skipped=Counter(r.reason for r in others if r.outcome in ("skipped", "xfailed")),
        unreached=Counter(
            "failed before the model was opened" if r.outcome == "failed" else "opens no model"
            for r in others
            if r.outcome in ("passed", "failed")
        ),
    )


def reason_for(test_id: str, listed: list[Known]) -> str | None:
    return next((entry.reason for entry in listed if entry.tests.fullmatch(test_id)), None)
