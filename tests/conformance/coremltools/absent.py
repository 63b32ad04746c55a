"""A package that modules of the suite import for one test: without it that test fails before a model is opened."""

import importlib.util
import sys
from types import ModuleType


def _absent(*_arguments, **_settings):
    raise ModuleNotFoundError("No module named 'peft'")


if importlib.util.find_spec("peft") is None:
    peft = ModuleType("peft")
    vars(peft).update(LoraConfig=_absent, get_peft_model=_absent)
    sys.modules["peft"] = peft
