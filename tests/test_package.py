"""What importing refrnn costs, which version it says it is, and how unrolls from elsewhere join."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import refrnn

PROJECT = Path(__file__).parents[1]

#: Loaded by ``import refrnn``: the rooms ragged, cells and unroll, and what these are made of.
EAGER_ROOMS = {
    "_version",
    "activations",
    "arithmetic",
    "bucketing",
    "cells",
    "errors",
    "lanes",
    "packing",
    "padding",
    "parameters",
    "ragged",
    "types",
    "unroll",
    "validation",
}

Python = Callable[..., Any]


@pytest.fixture
def fresh_python(tmp_path: Path) -> Python:
    """Run a script in a new interpreter that sees the refrnn under test; return its JSON."""

    def run(script: str, *extra_path: Path) -> Any:
        path = [*map(str, extra_path), str(Path(refrnn.__file__).parents[1])]
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return run


def install_unroll(site: Path, name: str, target: str, source: str) -> None:
    """Write a distribution ``dist-<name>`` that registers one unroll, as pip would install it."""
    info = site / f"dist_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[refrnn.unrolls]\n{name} = {target}\n")
    (site / f"module_{name}.py").write_text(textwrap.dedent(source))


TOY = """
    from refrnn import PerSequence

    class Toy(PerSequence):
        name = "toy"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an unroll ``toy`` that works, and one ``broken`` whose import fails."""
    folder = tmp_path / "site"
    install_unroll(folder, "toy", "module_toy:Toy", TOY)
    install_unroll(folder, "broken", "module_broken:Broken", "import a_module_nobody_has\n")
    return folder


def test_import_loads_numpy_and_nothing_else(fresh_python: Python) -> None:
    """No framework, no accelerator and no test tool; more of NumPy itself is allowed."""
    extra = fresh_python("""
        import json, sys, numpy
        before = set(sys.modules)
        import refrnn
        roots = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(json.dumps(sorted(roots - set(sys.stdlib_module_names))))
    """)
    assert set(extra) <= {"refrnn", "numpy"}


@pytest.mark.parametrize("module", ["dataclasses", "importlib.metadata", "argparse", "zipfile"])
def test_import_avoids_slow_modules_that_numpy_did_not_load(
    fresh_python: Python, module: str
) -> None:
    loaded = fresh_python(f"""
        import json, sys, numpy
        before = set(sys.modules)
        import refrnn
        print(json.dumps({module!r} in set(sys.modules) - before))
    """)
    assert not loaded


def test_import_loads_only_the_rooms_of_the_core(fresh_python: Python) -> None:
    rooms = fresh_python("""
        import json, sys, refrnn
        names = {name.split(".")[1] for name in sys.modules if name.startswith("refrnn.")}
        print(json.dumps(sorted(names)))
    """)
    assert set(rooms) <= EAGER_ROOMS
    assert {"ragged", "cells", "unroll"} <= set(rooms)


def test_accelerator_package_imports_nothing(fresh_python: Python) -> None:
    loaded = fresh_python("""
        import json, sys
        before = set(sys.modules)
        import refrnn_accel
        print(json.dumps(sorted(set(sys.modules) - before)))
    """)
    assert loaded == ["refrnn_accel"]


def test_both_packages_ship_their_types() -> None:
    for name in ("refrnn", "refrnn_accel"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).with_name("py.typed").exists()


def test_version_is_the_same_everywhere() -> None:
    citation = re.search(r"^version: (\S+)$", (PROJECT / "CITATION.cff").read_text(), re.M)
    change = re.search(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(), re.M)
    assert citation is not None
    assert change is not None
    assert citation[1] == change[1] == refrnn.__version__ == importlib.metadata.version("refrnn")


def test_registered_unroll_is_found_by_name(fresh_python: Python, site: Path) -> None:
    result = fresh_python(
        """
        import json, numpy as np, refrnn as rr
        batch = rr.RaggedBatch.from_sequences([np.ones((n, 2)) for n in (3, 0, 1)])
        cell = rr.GRU(2, 3)
        params = cell.init_parameters(np.random.default_rng(0))
        run = rr.forward(cell, params, batch, unroll="toy")
        same = rr.forward(cell, params, batch, unroll="per_sequence")
        equal = bool((run.output.values == same.output.values).all())
        print(json.dumps([type(rr.unroll.resolve("toy")).__module__, equal]))
        """,
        site,
    )
    assert result == ["module_toy", True]


def test_broken_unroll_gives_its_reason(fresh_python: Python, site: Path) -> None:
    message, listed = fresh_python(
        """
        import json, refrnn as rr
        try:
            rr.unroll.resolve("broken")
        except ValueError as error:
            print(json.dumps([str(error), rr.unroll.installed_unrolls()["broken"]]))
        """,
        site,
    )
    assert "'broken' is installed but cannot be loaded" in message
    assert "a_module_nobody_has" in message
    assert "a_module_nobody_has" in listed


def test_an_unroll_says_why_it_cannot_run_here(fresh_python: Python, site: Path) -> None:
    source = (
        TOY.replace("Toy", "Far")
        + """
        @staticmethod
        def unavailable():
            return "it needs a telescope"
    """
    )
    install_unroll(site, "far", "module_far:Far", source)
    message, listed, has_checked = fresh_python(
        """
        import json, refrnn as rr
        from refrnn.check import find_candidates
        candidates = {one.name: one for one in find_candidates([])}
        try:
            rr.unroll.resolve("far")
        except ValueError as error:
            listed = rr.unroll.installed_unrolls()["far"]
            print(json.dumps([str(error), listed, candidates["far"].unroll is not None]))
        """,
        site,
    )
    assert message == "unroll 'far' is installed but cannot run here: it needs a telescope"
    assert (listed, has_checked) == ("it needs a telescope", False)


def test_built_in_names_read_no_entry_point(fresh_python: Python, site: Path) -> None:
    loaded = fresh_python(
        """
        import json, sys, refrnn as rr
        for name in rr.unroll.BUILT_IN:
            rr.unroll.resolve(name)
        print(json.dumps("importlib.metadata" in sys.modules))
        """,
        site,
    )
    assert loaded is False


def test_info_reports_unrolls_from_elsewhere(fresh_python: Python, site: Path) -> None:
    facts = fresh_python(
        """
        import json
        from refrnn.cli.info import collect
        print(json.dumps(collect()))
        """,
        site,
    )
    rows = {row["name"]: row for row in facts["unrolls"]}
    assert rows["per_sequence"] == {"name": "per_sequence", "origin": "refrnn", "reason": None}
    assert rows["toy"] == {"name": "toy", "origin": "dist-toy 1.0", "reason": None}
    assert "a_module_nobody_has" in rows["broken"]["reason"]
    assert facts["version"] == refrnn.__version__
    frameworks = {"torch", "jax", "keras", "onnx", "mlx"}
    assert set(facts["extras"]) == {"plot", "bench", "peers", "test", "docs"} | frameworks
    assert facts["extras"]["test"].keys() >= {"pytest>=9"}
