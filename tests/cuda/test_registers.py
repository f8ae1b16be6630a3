"""What the kernels of the recurrence take of a multiprocessor, as ptxas says."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from refrnn_accel.cuda import planner, shipped
from refrnn_accel.cuda.cells import KERNEL_CELLS
from refrnn_accel.cuda.context import Device
from refrnn_accel.cuda.cut import Cut
from refrnn_accel.cuda.known_cuts import ARCHITECTURES, HEADER, TABLE, CutKey, known_cuts
from refrnn_accel.cuda.registers import chosen, cut_of, fitting, known, measure
from refrnn_accel.cuda.stream_cut import StreamCut

#: Of every cell, number and exchange, with the largest pieces of W_hh that registers hold, the most
#: threads and the most blocks. The program refrnn_accel.cuda.registers compiles all.
COMPILED = [
    CutKey("RnnTanh", "float", 256, 256, 1, 1, "Alone"),
    CutKey("RnnRelu", "double", 192, 192, 2, 1, "Alone"),
    CutKey("Lstm", "float", 128, 128, 2, 1, "Alone"),
    CutKey("Lstm", "double", 96, 96, 2, 1, "Alone"),
    CutKey("GruResetAfter", "double", 96, 96, 2, 1, "Alone"),
    CutKey("GruResetBefore", "float", 128, 128, 2, 1, "Alone"),
    CutKey("Lstm", "float", 256, 64, 4, 4, "Clustered"),
    CutKey("GruResetAfter", "float", 256, 64, 4, 4, "Tagged"),
    CutKey("Lstm", "float", 512, 32, 8, 16, "Tagged"),
    CutKey("RnnTanh", "double", 1024, 8, 16, 128, "Tagged"),
]
#: Of these the table has no row; the planner leaves registers to spare.
WITHOUT_ROW = [
    CutKey("GruResetAfter", "float", 384, 32, 8, 12, "Tagged"),
    CutKey("Lstm", "double", 384, 16, 16, 24, "Tagged"),
]


def device(architecture: int, multiprocessors: int = 132) -> Device:
    nbytes = ARCHITECTURES[architecture]
    return Device("a device", architecture, multiprocessors, nbytes, 65536, False)


def choice(
    cell: str, dtype: type[np.floating], hidden_size: int, architecture: int, variant: str
) -> Cut | None:
    found = planner.choose(
        KERNEL_CELLS[cell], np.dtype(dtype), hidden_size, device(architecture), variant=variant
    )
    return None if isinstance(found, str) else found[1]


# --- what is compiled ---


def test_no_kernel_spills_or_has_local_memory() -> None:
    careful = {cut.key: cut for cut in chosen([384])}
    cuts = [cut_of(key, known_cuts()[key].held) for key in COMPILED]
    cuts += [careful[key] for key in WITHOUT_ROW]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda cut: measure(cut, fitting(cut)), cuts))
    unclean = []
    for cut, by_architecture in zip(cuts, found, strict=True):
        for architecture, kernels in by_architecture.items():
            assert set(kernels) == {"forward", "backward"}
            for name, usage in kernels.items():
                assert 0 < usage.registers <= 255
                unclean += [] if usage.is_clean else [(cut, architecture, name, usage)]
    assert unclean == []
    assert [tuple(sorted(made)) for made in found] == [fitting(cut) for cut in cuts]
    assert all(found)


def test_no_kernel_that_streams_spills() -> None:
    cuts = [
        StreamCut(KERNEL_CELLS[name], np.dtype(number), columns, lanes)
        for name, number, columns, lanes in (
            ("Lstm", "float64", 1024, 4),
            ("Lstm", "float32", 256, 4),
            ("GruResetBefore", "float64", 256, 4),
            ("RnnTanh", "float64", 1024, 1),
        )
    ]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda cut: measure(cut, fitting(cut)), cuts))
    assert [tuple(sorted(made)) for made in found] == [fitting(cut) for cut in cuts]
    for by_architecture in found:
        for kernels in by_architecture.values():
            assert all(usage.is_clean for usage in kernels.values())


def test_a_spill_is_seen() -> None:
    key = CutKey("Lstm", "float", 128, 128, 2, 1, "Alone")
    (found,) = measure(cut_of(key, 15), (90,)).values()
    assert any(usage.spilled > 0 for usage in found.values())
    assert not all(usage.is_clean for usage in found.values())


def test_a_row_is_what_the_search_finds() -> None:
    key = CutKey("Lstm", "float", 96, 96, 2, 1, "Alone")
    row = known(cut_of(key, 0))
    assert row is not None
    assert row.held == known_cuts()[key].held > 0


# --- the table ---


def test_the_table_is_of_these_cuts() -> None:
    assert TABLE.read_text(encoding="utf-8").splitlines()[0] == ",".join(HEADER)
    assert len(known_cuts()) > 100
    for row in known_cuts().values():
        cut = cut_of(row.key, row.held)
        assert (row.vectors, row.forward_bytes) == (cut.vectors, cut.forward_bytes(1))
        assert row.backward_bytes == cut.backward_bytes(1)
        there = tuple(number for number, registers in row.registers.items() if registers)
        assert there == fitting(cut) != ()
        assert 0 <= row.held <= row.vectors
        for registers in filter(None, row.registers.values()):
            assert all(0 < int(number) <= 255 for number in registers.split("/"))


def test_what_is_chosen_for_usual_sizes_is_in_the_table() -> None:
    every = chosen([32, 64, 96, 128, 160, 192, 224, 256])
    alone = {cut.key: cut.held for cut in every if cut.exchange == "Alone"}
    others = {cut.key: cut.held for cut in chosen([256, 512, 1024]) if cut.exchange != "Alone"}
    # Clusters of 512 units have no rows.
    usual = alone | {
        key: held for key, held in others.items() if key.exchange == "Tagged" or key.columns == 256
    }
    assert len(usual) > 100
    assert {key: held for key, held in usual.items() if known_cuts()[key].held != held} == {}


@pytest.mark.parametrize(
    ("cell", "dtype", "hidden_size", "architectures"),
    [
        ("Lstm", np.float32, 128, {80, 86, 89, 90, 100, 120}),
        ("Lstm", np.float32, 96, set(ARCHITECTURES)),
        ("Lstm", np.float64, 64, set(ARCHITECTURES)),
        ("Lstm", np.float64, 96, {90, 100}),
        ("GruResetAfter", np.float32, 128, set(ARCHITECTURES)),
        ("GruResetBefore", np.float32, 128, set(ARCHITECTURES)),
        ("RnnTanh", np.float32, 224, set(ARCHITECTURES)),
    ],
)
def test_one_block_has_room(
    cell: str, dtype: type[np.floating], hidden_size: int, architectures: set[int]
) -> None:
    there = {a for a in ARCHITECTURES if choice(cell, dtype, hidden_size, a, "block")}
    assert there == architectures


@pytest.mark.parametrize("hidden_size", [256, 512, 1024])
@pytest.mark.parametrize("architecture", [80, 90])
def test_a_team_has_room(hidden_size: int, architecture: int) -> None:
    for cell in KERNEL_CELLS:
        cut = choice(cell, np.float32, hidden_size, architecture, "team")
        assert cut is not None
        assert cut.blocks <= 64
        assert 128 <= cut.threads <= 512


def test_clusters_are_of_at_most_eight_blocks() -> None:
    for cell in KERNEL_CELLS:
        cut = choice(cell, np.float32, 256, 90, "cluster")
        assert cut is not None
        assert cut.blocks <= 8
        assert choice(cell, np.float32, 256, 89, "cluster") is None


# --- what is shipped ---


def test_what_is_chosen_for_usual_cells_is_shipped() -> None:
    there = [dict(entry.defines) for entry in shipped.SHIPPED]
    for cut in chosen(range(32, 257, 32)):
        is_usual = cut.cell.name in ("RnnTanh", "Lstm", "GruResetAfter")
        if is_usual and cut.dtype == np.float32 and cut.exchange == "Alone":
            assert cut.defines() in there
    for entry in shipped.SHIPPED:
        assert entry.architecture == (90 if "REFRNN_CLUSTER" in entry.defines else 75)
