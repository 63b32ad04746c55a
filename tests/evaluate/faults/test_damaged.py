"""Whatever is done to a file, checking it gives faults or none: no other error, and no waiting."""

import random
import shutil

import pytest

from converter import check_file


@pytest.mark.parametrize("to", ["mlprogram", "neuralnetwork"])
def test_any_change_of_bytes_gives_an_answer(to, small, tmp_path):
    chance = random.Random(5)
    path = tmp_path / f"m{small[to].suffix}"
    (shutil.copytree if small[to].is_dir() else shutil.copy)(small[to], path)
    file = path / "Data/com.apple.CoreML/model.mlmodel" if path.is_dir() else path
    original, faulty = file.read_bytes(), 0
    for _ in range(150):
        content = bytearray(original)
        for _ in range(chance.choice([1, 2, 5])):
            at = chance.randrange(len(content))
            kind = chance.random()
            if kind < 0.7:
                content[at] ^= 1 << chance.randrange(8)
            elif kind < 0.9:
                content[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
            else:
                del content[at:]
        file.write_bytes(content)
        faulty += bool(check_file(path))
    assert faulty > 50


HUGE = [2**31 - 1, 2**40]


@pytest.mark.parametrize("number", HUGE)
def test_a_huge_size_takes_neither_memory_nor_time(number, small, faults_of):
    def change(spec):
        layers = [layer for layer in spec.neuralNetworkClassifier.layers if layer.WhichOneof("layer") == "convolution"]
        layers[0].convolution.kernelSize[0] = number
        layers[1].convolution.kernelChannels = number
        layers[2].convolution.nGroups = number
        spec.description.input[0].type.imageType.height = number

    assert len(faults_of(small["neuralnetwork"], change)) >= 2


@pytest.mark.parametrize("number", HUGE)
def test_a_huge_size_in_a_program_takes_neither(number, small, faults_of):
    def change(spec):
        function = spec.mlProgram.functions["main"]
        for operation in function.block_specializations[function.opset].operations:
            if operation.type in ("conv", "reshape", "avg_pool"):
                operation.outputs[0].type.tensorType.dimensions[0].constant.size = number

    assert faults_of(small["mlprogram"], change)
