"""The committed table is the installed torchvision's."""

import pytest

from converter.manifest.torchvision_names import TABLE, category_count, generate, parameter_count


def test_the_table_is_current() -> None:
    assert TABLE.read_text(encoding="utf-8") == generate(), "run `python -m converter.manifest.torchvision_names`"


@pytest.mark.parametrize(
    ("builder", "weights", "count"),
    [
        ("resnet50", "DEFAULT", 1000),
        ("resnet50", "IMAGENET1K_V1", 1000),
        ("fcn_resnet50", "DEFAULT", 21),
        ("vgg16", "IMAGENET1K_FEATURES", 0),
        ("resnet50", None, None),
        ("resnet50", "GONE", None),
        ("gone", "DEFAULT", None),
    ],
)
def test_categories_are_counted(builder: str, weights: str | None, count: int | None) -> None:
    assert category_count(builder, weights) == count


@pytest.mark.parametrize(
    ("builder", "count"),
    [("resnet50", 25_557_032), ("mobilenet_v2", 3_504_872), ("gone", None)],  # as torchvision documents them
)
def test_parameters_are_counted(builder: str, count: int | None) -> None:
    assert parameter_count(builder) == count
