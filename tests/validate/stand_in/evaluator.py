"""The reference evaluator at the other end of a pipe: (path, inputs) in, (error, outputs) out; None loads the file."""

import os
import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from converter.errors import EvaluationError
from converter.evaluate import load_model

answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # what the libraries print is no answer


def say(error, answered=None):
    pickle.dump((error, answered), answers)
    answers.flush()


models = {}
while True:
    try:
        path, given = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        if given is None:
            models = {path: load_model(Path(path))}
            say("")
        else:
            say("", models[path].predict(given))
    except EvaluationError as error:
        say(str(error))
