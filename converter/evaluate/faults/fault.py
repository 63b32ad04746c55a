"""What is wrong with a file, and the list that every check adds to."""

from dataclasses import dataclass, field, replace

from converter.errors import EvaluationError

CONVERT_AGAIN = "convert the model again"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with a Core ML file, and what to do about it.

    `model` is the part of a pipeline, `function` the ML Program's, `op` an operation's or a layer's type and `name` its
    name, or a feature's; each is empty where it says nothing.
    """

    file: str
    problem: str
    fix: str
    model: str = ""
    function: str = ""
    op: str = ""
    name: str = ""

    def __str__(self) -> str:
        function = f"function {self.function}" if self.function else ""
        name = f'"{self.name}"' if self.name else ""
        place = " > ".join(filter(None, (self.file, self.model, function, f"{self.op} {name}".strip())))
        return f"{place}: {self.problem}\n  fix: {self.fix}"


@dataclass(frozen=True)
class Faults:
    """The faults found so far; `at` gives the same list, seen from a place further in."""

    file: str
    found: list[Fault] = field(default_factory=list)
    model: str = ""
    function: str = ""
    op: str = ""
    name: str = ""

    def at(self, *, model: str = "", function: str = "", op: str = "", name: str = "") -> "Faults":
        return replace(
            self,
            model=" > ".join(filter(None, (self.model, model))),
            function=function or self.function,
            op=op or self.op,
            name=name or self.name,
        )

    def add(self, problem: str, fix: str = CONVERT_AGAIN) -> None:
        """The same words about the same place count once."""
        fault = Fault(
            file=self.file,
            problem=problem,
            fix=fix,
            model=self.model,
            function=self.function,
            op=self.op,
            name=self.name,
        )
        if fault not in self.found:
            self.found.append(fault)

    def caught(self, error: EvaluationError) -> None:
        """What the evaluator says of it."""
        self.add(" > ".join([*error.where, error.problem]), error.fix or CONVERT_AGAIN)
