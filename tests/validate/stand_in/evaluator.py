"""The reference evaluator at the other end of a pipe: a model file, then inputs in and (error, outputs) out."""

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


try:
    model = load_model(Path(sys.argv[1]))
except EvaluationError as error:
    say(str(error))
    sys.exit()
say("")
while True:
    try:
        given = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        say("", model.predict(given))
    except EvaluationError as error:
        say(str(error))
