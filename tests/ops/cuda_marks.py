"""Decide whether the tests of the CUDA ops run, and give them helpers."""

import pytest
import torch

from nbseg.ops._extension import HAS_CUDA

CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.skipif(not HAS_CUDA, reason="nbseg was built without CUDA"),
]


def run_without_synchronization(function):
    """Call a function, and raise if an operation in it makes the CPU wait for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        return function()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def replay(function):
    """Call a function once, then capture it in a CUDA graph and replay the graph once."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = function()
    graph.replay()
    torch.cuda.synchronize()
    return result
