"""https://onnx.ai/onnx/operators, chapter generator; most of it is folded before it gets here."""

import numpy as np

from converter.convert.onnx.builder import Var, const, dtype_name, shape_of
from converter.convert.onnx.ops.tables import ai_onnx
from converter.convert.onnx.ops.tensor.casting import kind_of

op = ai_onnx.op


@op
def EyeLike(input: Var, dtype: int | None = None, k: int = 0) -> Var:
    rows, columns = shape_of(input)
    kind = dtype_name(input) if dtype is None else kind_of(dtype)
    return const(
        np.eye(rows, columns, k).astype({"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": bool}[kind])
    )
