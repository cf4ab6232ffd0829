"""The documents of the repository name what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "quantbench"
PATH = re.compile(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*(?:/|\.py|\.toml|\.md))`")


def places_of(name: str) -> list[Path]:
    """Return every place that a path of the document may mean: at the top, or anywhere in the package."""
    inside = [PACKAGE / name, ROOT / name]
    return [*inside, *(folder / name for folder in PACKAGE.rglob("*") if folder.is_dir())]


@pytest.mark.parametrize("document", ["docs/architecture.md", "docs/measuring.md", "docs/api.md"])
def test_every_path_that_a_document_names_exists(document: str) -> None:
    names = PATH.findall((ROOT / document).read_text())
    assert [name for name in names if not any(place.exists() for place in places_of(name))] == []


def test_every_module_at_the_top_of_the_package_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    modules = [path.name for path in PACKAGE.glob("*.py") if path.name not in ("__init__.py", "version.py")]
    packages = [f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")]
    assert [name for name in (*modules, *packages) if f"`{name}" not in text] == []
