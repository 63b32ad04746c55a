"""A prepared graph to a MIL program."""

from typing import Any

from converter.convert.coreml import empty_function, empty_program
from converter.convert.naming import Names, module_path
from converter.convert.onnx.graph import Graph, every
from converter.convert.onnx.lower.boundary import entry, interface_of, name_outputs, placeholder, reserve_names
from converter.convert.onnx.lower.lowering import Lowering
from converter.convert.onnx.lower.passes import passes_for
from converter.convert.onnx.lower.targets import way_out
from converter.convert.onnx.prepare import bound_inputs, match_inputs
from converter.errors import ConversionError, UnsupportedOpsError
from converter.model import Interface, Target

__all__ = ["interface_of", "lower"]


def lower(graph: Graph, *, interface: Interface | None, target: Target) -> tuple[Any, list[str]]:
    """Build the MIL program of a prepared graph, and name the passes that it still needs.

    The program's inputs are the interface's, in its order: float32 (an image after Core ML's `pixel * scale - mean`,
    [1, C, H, W]), float16 or int32; its outputs have the interface's names and types. Without an interface the graph's
    own names are kept, made valid. Raises UnsupportedOpsError naming every node that cannot be lowered.
    """
    if target.format == "mlmodel" and not graph.inputs:
        raise ConversionError(
            "the model takes no inputs, and a NeuralNetwork takes at least one", fix="ask for an mlpackage"
        )
    declared, interface = interface, interface or interface_of(graph)[0]
    precision = "fp16" if target.compute_precision == "float16" else "fp32"
    names = Names(target.float32_ops)
    for node in every(graph.nodes):
        names.holds(node.op_type, (node.name, *node.outputs), module_path(node.name))
    names.refuse_strangers("node that is left to run")
    lowering = Lowering(graph, precision, names=reserve_names(interface), float32_ops=names)
    given = match_inputs(graph.inputs, interface)
    if declared is not None:
        bound_inputs({name: graph.types[name] for name in graph.inputs}, interface)
    if len(interface.outputs) != len(graph.outputs):
        raise ConversionError(
            f"the model has {len(graph.outputs)} outputs ({', '.join(graph.output_names)}), "
            f"the manifest gives {len(interface.outputs)} ({', '.join(o.name for o in interface.outputs)})",
            fix="list the model's outputs in its order",
        )
    program = empty_program()
    inputs = {i.name: placeholder(i) for i in interface.inputs}
    try:
        with empty_function(inputs, target) as function:
            for name in graph.inputs:
                x = function.inputs[given[name].name]
                lowering.values[name] = entry(x, given[name], graph.types[name], precision)
            function.set_outputs(name_outputs(lowering.run(), interface))
    except UnsupportedOpsError as error:
        error.fix = way_out(graph, lowering.refused.values(), target) or error.fix
        raise
    program.add_function("main", function)
    return program, passes_for(program)
