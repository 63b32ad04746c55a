"""What weakens a check: one that any model would pass proves nothing, and the report has to say so."""

from collections.abc import Iterator

import numpy as np

from converter.model import Interface, Reference
from converter.validate import metrics


def shown_name(interface: Interface, index: int) -> str:
    """An output's name as the app sees it."""
    if interface.classifier and index == 0:
        return interface.classifier.probabilities_name
    return interface.outputs[index].name


def doubts(reference: Reference, interface: Interface, psnr_limit_db: float) -> Iterator[str]:
    """What the reference's own answers say against the check, one sentence each.

    An untrained network answers the same to every picture, and then BGR or another photo pass as well. A softmax of
    probabilities flattens them, and every comparison before it passes.
    """
    outputs = [outputs[interface.outputs[0].name] for outputs in reference.outputs]
    name, classifier = shown_name(interface, 0), interface.classifier
    alike = [values for values in outputs if values.shape == outputs[0].shape]
    between = min((metrics.psnr_db(alike[0], values) for values in alike[1:]), default=np.inf)
    if len(alike) < 2:
        yield f"{name}: one sample alone cannot show that the model tells its inputs apart"
    elif between >= psnr_limit_db:
        yield (
            f"{name}: the source itself gives nearly the same answer to all {len(alike)} samples ({between:.4g} dB "
            f"between them, the gate is {psnr_limit_db:.4g} dB), so this check proves nothing; is the network trained?"
        )
    elif classifier and len(alike) > 2 and len({metrics.top(values, 1)[0] for values in alike}) == 1:
        yield f"{name}: all {len(alike)} samples belong to one class, so top-1 agreement proves little"
    if classifier and classifier.activation == "softmax" and all(_are_probabilities(values) for values in outputs):
        yield f"{name}: the source gives probabilities already, so `softmax: true` is one softmax too many"


def _are_probabilities(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and np.allclose(values.sum(axis=-1), 1, atol=1e-4))
