"""Check the errors and the output of the benchmark program; no time is asserted."""

import json
import sys

import pytest
from torch._inductor import config as inductor_config


@pytest.fixture
def program(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "tools"))
    import benchmark

    yield benchmark
    for name in [name for name in sys.modules if name.split(".")[0] in ("benchmark", "benchmarks")]:
        del sys.modules[name]


def use(program, monkeypatch, **case):
    from benchmarks.case import Case

    cases = [Case(name="sum", nbseg=lambda: sum(range(100)), **case)]
    monkeypatch.setattr(program, "cases_of", lambda *_: iter(cases))
    monkeypatch.setattr(program, "copy_bandwidth", lambda _: 1e9)


ARGUMENTS = ["paste_rle", "--no-memory", "--seconds", "0.01", "--threads", "1"]


@pytest.mark.parametrize("rounds", [0, 3])
def test_writes_what_it_measured(program, monkeypatch, tmp_path, capsys, rounds):
    peers = {"loop": lambda: 4950}
    facts = {"contenders": lambda measured: "-".join(measured.seconds)}
    use(program, monkeypatch, peers=peers, facts=facts, bytes_moved=1000, rounds=rounds)
    program.main([*ARGUMENTS, "--json", str(tmp_path / "results.json")])
    document = json.loads((tmp_path / "results.json").read_text())
    assert {"date", "commit", "cpu", "torch", "threads"} <= document.keys()
    (result,) = document["results"]
    assert result["case"] == "sum" and result["facts"]["contenders"] == "nbseg-loop"
    medians = {name: timing["median"] for name, timing in result["timings"].items()}
    assert medians.keys() == {"nbseg", "loop"} and result["ratios"].keys() == {"loop"}
    share = 1000 / medians["nbseg"] / 1e9
    assert result["share_of_copy_bandwidth"] == pytest.approx(share)
    if not rounds:
        assert result["ratios"]["loop"] == pytest.approx(medians["loop"] / medians["nbseg"])
    assert "contenders: nbseg-loop" in capsys.readouterr().out


def test_contenders_that_disagree_are_not_compared(program, monkeypatch):
    use(program, monkeypatch, peers={"loop": lambda: 4951})
    with pytest.raises(SystemExit, match="paste_rle, sum: nbseg and loop return different results"):
        program.main(ARGUMENTS)


def test_a_case_has_its_files_while_its_memory_is_measured(program, monkeypatch, tmp_path):
    file = tmp_path / "input"

    def cases(*_):
        from benchmarks.case import Case

        file.write_text("input")
        try:
            yield Case(name="read", nbseg=file.read_text, peers={})
        finally:
            file.unlink()

    monkeypatch.setattr(program, "cases_of", cases)
    monkeypatch.setattr(program, "peak_memory", lambda call: len(call()))
    assert program.peak_memory_of("reading", "read", "nbseg", 1) == 5
    assert not file.exists()


def test_unknown_benchmarks_are_named(program, capsys):
    with pytest.raises(SystemExit):
        program.main(["sort"])
    assert "no benchmark 'sort' for cpu; choose from paste_rle, " in capsys.readouterr().err


@pytest.fixture
def short_compilation():
    """Let torch.compile write plain loops: it then compiles two kernels and nothing else.

    For vector instructions TorchInductor also compiles a trial program and a header of its own,
    which take 12 seconds where no cache has them.
    """
    options = {
        "cpp.vec_isa_ok": False,
        "cpp_cache_precompile_headers": False,
        "compile_threads": 1,
    }
    with inductor_config.patch(options):
        yield


# The peers copy whole bitmaps: fewer and smaller ones show as well whether the results agree.
SMALLER = {
    "bpm_mask_loss": {},
    "mask_targets": {"SCENES": ((256, 512), (200, 333))},
    "paste_rle": {"INSTANCES": 10},
    "data_pipeline": {"HEIGHT": 256, "WIDTH": 512},
    "read_image": {"SIDE": 256},
}


@pytest.mark.usefixtures("short_compilation")
@pytest.mark.parametrize("name", SMALLER)
def test_contenders_agree(program, monkeypatch, name):
    for constant, value in SMALLER[name].items():
        monkeypatch.setattr(f"benchmarks.{name}.{constant}", value)
    for case in program.cases_of(name, threads=2, device="cpu"):
        if case.name.startswith("R 512"):
            continue  # large, and of no other kind
        expected = case.nbseg()
        assert all(case.agree(expected, peer()) for peer in case.peers.values()), case.name
